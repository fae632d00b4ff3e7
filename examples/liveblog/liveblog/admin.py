"""Posts in Django's admin. Nothing here knows of sockets, and still every change is seen at once."""

from django.contrib import admin

from liveblog.models import Post


@admin.register(Post)
class PostAdmin(admin.ModelAdmin):
    """A list in which posts can be hidden and shown by ticking a box."""

    list_display = ("title", "admin_only", "author", "posted")
    list_editable = ("admin_only",)
    list_filter = ("admin_only",)
    search_fields = ("title", "text")

    def save_model(self, request, obj, form, change):
        """Note who wrote it."""
        if not change:
            obj.author = request.user
        super().save_model(request, obj, form, change)
