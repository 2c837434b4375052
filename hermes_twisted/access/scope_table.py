"""The table of scopes: which methods `chat` and `watch` keys may call. `full` may call all.

Based on the handlers of hermes-agent 0.14 to 0.19. A method is allowed by its exact name only.
Patterns (`group.*`) deny a whole method group, and methods that are not in the table are denied: a
method that a later Hermes adds is refused until it has been reviewed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .. import rpc

#: Returns the JSON text of a request's parameter by its name, empty if it is absent.
GetParam = Callable[[str], bytes]


@dataclass(frozen=True)
class Always:
    """Allows every call, or none, regardless of its parameters."""

    allowed: bool

    def allows(self, get: GetParam) -> bool:
        """Return whether the call is allowed."""
        return self.allowed

    def __str__(self) -> str:
        return "yes" if self.allowed else "no"


@dataclass(frozen=True)
class OneOf:
    """Allows a call whose parameter is one of *values*; if *absent*, also one without it."""

    param: str
    values: frozenset[str]
    absent: bool = False

    def allows(self, get: GetParam) -> bool:
        """Return whether the call is allowed."""
        value = get(self.param)
        if not value:
            return self.absent
        return rpc.decode_string(value) in self.values

    def __str__(self) -> str:
        values = ", ".join(f"`{value}`" if value else "empty" for value in sorted(self.values))
        return f"`{self.param}`: {values}"


@dataclass(frozen=True)
class Without:
    """Allows a call without the parameter, for methods that write if they have it."""

    param: str

    def allows(self, get: GetParam) -> bool:
        """Return whether the call is allowed."""
        return not get(self.param)

    def __str__(self) -> str:
        return f"without `{self.param}`"


@dataclass(frozen=True)
class SlashCommand:
    """Allows a call whose parameter is a slash command with one of *names* as its first word."""

    param: str
    names: frozenset[str]
    alone: bool = False
    """Whether the parameter must be the first word only, with the arguments in another one."""

    def allows(self, get: GetParam) -> bool:
        """Return whether the call is allowed.

        The first word is parsed more strictly than Hermes does it in `slash.exec`,
        `command.dispatch` and `HermesCLI.process_command`, so that all of them agree on it.
        """
        found = _FIRST_WORD.match((rpc.decode_string(get(self.param)) or "").strip())
        if found is None or (self.alone and found["rest"]):
            return False
        return found["word"] in self.names

    def __str__(self) -> str:
        return f"`{self.param}`: " + " ".join(f"`/{name}`" for name in sorted(self.names))


_FIRST_WORD: Final = re.compile(r"/*(?P<word>[a-z-]+)(?P<rest>\s.*)?\Z", re.DOTALL)

Rule = Always | OneOf | Without | SlashCommand

YES: Final = Always(True)
NO: Final = Always(False)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Slash commands that show or continue a conversation. Not `moa`, which changes the model, and
#: no skills, plugins or quick commands.
CONVERSATION_COMMANDS: Final = _words(
    "compress goal help history plan q queue retry status steer undo usage"
)
#: Settings that a client may read one by one. Not `full`, which is the whole file with its
#: secrets, and not `prompt`.
PLAIN_SETTINGS: Final = _words(
    "approval_mode approvals.mode busy compact details_mode fast indicator mouse mtime "
    "personality profile project provider reasoning skin statusbar thinking_mode"
)
#: Settings that a terminal UI needs to draw itself.
DISPLAY_SETTINGS: Final = _words(
    "compact details_mode indicator mouse mtime skin statusbar thinking_mode"
)


@dataclass(frozen=True)
class Row:
    """A row of the table: a description, methods, and the rule of each scope."""

    description: str
    methods: tuple[str, ...]
    chat: Rule
    watch: Rule


def _row(description: str, methods: str, chat: Rule, watch: Rule) -> Row:
    return Row(description, tuple(methods.split()), chat, watch)


TABLE: Final = (
    _row(
        "Find, attach to and read conversations",
        "session.list session.most_recent session.active_list session.resume session.activate "
        "session.history session.status session.usage session.context_breakdown "
        "session.events.since session.events.stats",
        YES, YES,
    ),
    _row("A conversation's title", "session.title", YES, Without("title")),
    _row(
        "Begin, steer and end conversations",
        "session.create session.branch session.close session.compress session.cwd.set "
        "session.interrupt session.redirect session.save session.steer session.undo "
        "terminal.resize",
        YES, NO,
    ),
    _row(
        "Say something to the agent",
        "prompt.submit prompt.background llm.oneshot input.detect_drop paste.collapse "
        "image.attach image.attach_bytes image.detach pdf.attach file.attach",
        YES, NO,
    ),
    _row(
        "Answer the agent's questions",
        "clarify.respond clarify.lock sudo.respond terminal.read.respond client.capabilities",
        YES, NO,
    ),
    _row(
        "Approve a command; `always` would change the configuration",
        "approval.respond", OneOf("choice", _words("once session deny"), absent=True), NO,
    ),
    _row(
        "Give the agent a secret, which Hermes stores; empty declines",
        "secret.respond", OneOf("value", frozenset({""}), absent=True), NO,
    ),
    _row(
        "Subagents", "subagent.interrupt subagent.steer spawn_tree.save", YES, NO,
    ),
    _row(
        "Watch subagents",
        "delegation.status subagent.list subagent.tail spawn_tree.list spawn_tree.load", YES, YES,
    ),
    _row(
        "What a terminal asks for to draw itself",
        "commands.catalog command.resolve complete.slash setup.status "
        "pet.cells pet.info pet.info.meta gateway.ping",
        YES, YES,
    ),
    _row("Names of the server's files, for completion", "complete.path", YES, NO),
    _row(
        "What the agent has: names and states, no secrets",
        "tools.list tools.show toolsets.list plugins.list model.options setup.runtime_check "
        "insights.get projects.list projects.get projects.tree projects.for_cwd "
        "projects.project_sessions project.facts verification.status handoff.state",
        YES, NO,
    ),
    _row(
        "Read one setting",
        "config.get", OneOf("key", PLAIN_SETTINGS), OneOf("key", DISPLAY_SETTINGS),
    ),
    _row(
        "Slash commands",
        "slash.exec", SlashCommand("command", CONVERSATION_COMMANDS), NO,
    ),
    _row(
        "Slash commands, taken apart",
        "command.dispatch", SlashCommand("name", CONVERSATION_COMMANDS, alone=True), NO,
    ),
    _row(
        "Run and end commands",
        "shell.* cli.* process.* agents.list preview.* terminal.*", NO, NO,
    ),
    _row(
        "Change the configuration, or show it with what is secret",
        "config.* setup.* reload.* cron.*", NO, NO,
    ),
    _row(
        "Models and credentials", "model.* secret.* vault.*", NO, NO,
    ),
    _row(
        "Plugins, tools, skills, memory",
        "plugins.* tools.* toolsets.* skills.* learning.* browser.* mcp.*", NO, NO,
    ),
    _row("Delete transcripts, put files back", "session.delete rollback.*", NO, NO),
    _row(
        "The server's clipboard, microphone and speakers", "clipboard.* voice.*", NO, NO,
    ),
    _row(
        "Money", "billing.* subscription.* credits.* usage.bars", NO, NO,
    ),
    _row(
        "For all sessions: delegation, projects, pets, other platforms",
        "delegation.pause projects.* pet.* handoff.*", NO, NO,
    ),
)  # fmt: skip
