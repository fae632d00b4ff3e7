/** The way in: a click on one of the people of the demo fills the form in. */

const form = document.getElementById("login");

for (const button of document.querySelectorAll(".chip")) {
  button.addEventListener("click", () => {
    form.username.value = button.dataset.username;
    form.password.value = button.dataset.password;
    form.requestSubmit();
  });
}
