"""The directory of groups: which owners of connections, and which normal channels, are in which group.

The directory knows that an owner has members, never which: the server that holds a socket is the authority on it. Each
add raises the owner's generation in the group. An owner whose last local member has left says so with the generation
it has seen, and is removed only if no add came in between; so an add that crosses a leave on its way is never lost.
"""


class Directory:
    """Group -> member -> generation, and back."""

    __slots__ = ("_generation", "_groups_of", "_members")

    def __init__(self) -> None:
        self._members: dict[str, dict[str, int]] = {}
        self._groups_of: dict[str, set[str]] = {}
        self._generation = 0

    def __len__(self) -> int:
        return len(self._members)

    def add(self, group: str, member: str) -> int:
        """Note `member` (an owner's prefix, or a normal channel) and return the new generation of its membership."""
        self._generation += 1
        self._members.setdefault(group, {})[member] = self._generation
        self._groups_of.setdefault(member, set()).add(group)
        return self._generation

    def remove(self, group: str, member: str, generation: int | None = None) -> bool:
        """Remove a membership, with a generation only if it is still that one. Return whether it went."""
        members = self._members.get(group)
        if members is None or member not in members:
            return False
        if generation is not None and members[member] != generation:
            return False
        del members[member]
        if not members:
            del self._members[group]
        groups = self._groups_of[member]
        groups.discard(group)
        if not groups:
            del self._groups_of[member]
        return True

    def members(self, group: str) -> dict[str, int]:
        """Return member -> generation; empty for a group nobody is in. Not to be changed by the caller."""
        return self._members.get(group, {})

    def forget(self, member: str) -> None:
        """Remove a member from all its groups: its process is gone."""
        for group in tuple(self._groups_of.get(member, ())):
            self.remove(group, member)

    def forget_below(self, prefix: str) -> None:
        """Remove all members whose names start with `prefix`: they were read by a process that is gone."""
        for member in [member for member in self._groups_of if member.startswith(prefix)]:
            self.forget(member)

    def clear(self) -> None:
        """Forget everything; generations go on rising, so that an old leave cannot hit a new membership."""
        self._members.clear()
        self._groups_of.clear()
