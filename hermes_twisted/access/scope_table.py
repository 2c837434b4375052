"""The table of scopes: which methods `chat` and `watch` keys may call. `full` may call all.

Source: the handlers of hermes-agent 0.14 to 0.19, and what is known of later ones. A method is
allowed by its exact name only. Patterns (`family.*`) deny, and what the table does not name is
denied: a method that a later Hermes adds is refused until somebody has reviewed it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .. import rpc

#: Returns the JSON text of a parameter, empty if it is absent.
Look = Callable[[str], bytes]


@dataclass(frozen=True)
class Always:
    """Allows every call, or none, whatever the parameters are."""

    allowed: bool

    def allows(self, look: Look) -> bool:
        """Return whether the call is allowed."""
        return self.allowed

    def __str__(self) -> str:
        return "yes" if self.allowed else "no"


@dataclass(frozen=True)
class OneOf:
    """Allows a call if the parameter is one of these strings; if *absent*, also without it."""

    param: str
    values: frozenset[str]
    absent: bool = False

    def allows(self, look: Look) -> bool:
        """Return whether the call is allowed."""
        value = look(self.param)
        if not value:
            return self.absent
        return rpc.string(value) in self.values

    def __str__(self) -> str:
        values = ", ".join(f"`{value}`" if value else "empty" for value in sorted(self.values))
        return f"`{self.param}`: {values}"


@dataclass(frozen=True)
class Without:
    """Allows a call without the parameter: with it, it would write."""

    param: str

    def allows(self, look: Look) -> bool:
        """Return whether the call is allowed."""
        return not look(self.param)

    def __str__(self) -> str:
        return f"without `{self.param}`"


@dataclass(frozen=True)
class Command:
    """Allows a call if the parameter is a slash command whose first word is one of these."""

    param: str
    names: frozenset[str]
    alone: bool = False
    """The parameter has to be the word alone; its arguments are in another one."""

    def allows(self, look: Look) -> bool:
        """Return whether the call is allowed.

        The word is parsed more strictly than in Hermes' three parsers (`slash.exec`,
        `command.dispatch`, `HermesCLI.process_command`), so that all of them agree on it.
        """
        found = _FIRST_WORD.match((rpc.string(look(self.param)) or "").strip())
        if found is None or (self.alone and found["rest"]):
            return False
        return found["word"] in self.names

    def __str__(self) -> str:
        return f"`{self.param}`: " + " ".join(f"`/{name}`" for name in sorted(self.names))


_FIRST_WORD: Final = re.compile(r"/*(?P<word>[a-z-]+)(?P<rest>\s.*)?\Z", re.DOTALL)

Verdict = Always | OneOf | Without | Command

YES: Final = Always(True)
NO: Final = Always(False)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Slash commands that show or continue a conversation. Without `moa`, which changes the model,
#: and without skills, plugins and quick commands.
CONVERSATION_COMMANDS: Final = _words(
    "compress goal help history plan q queue retry status steer undo usage"
)
#: Settings that a client may read one by one. Without `full`, which is the whole file with its
#: secrets, and without `prompt`.
PLAIN_SETTINGS: Final = _words(
    "approval_mode approvals.mode busy compact details_mode fast indicator mouse mtime "
    "personality profile project provider reasoning skin statusbar thinking_mode"
)
#: Settings that a terminal needs to draw itself.
DISPLAY_SETTINGS: Final = _words(
    "compact details_mode indicator mouse mtime skin statusbar thinking_mode"
)


@dataclass(frozen=True)
class Group:
    """A row of the table: methods, what they do, and the rule of each scope."""

    what: str
    methods: tuple[str, ...]
    chat: Verdict
    watch: Verdict


def _group(what: str, methods: str, chat: Verdict, watch: Verdict) -> Group:
    return Group(what, tuple(methods.split()), chat, watch)


TABLE: Final = (
    _group(
        "Find, attach to and read conversations",
        "session.list session.most_recent session.active_list session.resume session.activate "
        "session.history session.status session.usage session.context_breakdown "
        "session.events.since session.events.stats",
        YES, YES,
    ),
    _group("A conversation's title", "session.title", YES, Without("title")),
    _group(
        "Begin, steer and end conversations",
        "session.create session.branch session.close session.compress session.cwd.set "
        "session.interrupt session.redirect session.save session.steer session.undo "
        "terminal.resize",
        YES, NO,
    ),
    _group(
        "Say something to the agent",
        "prompt.submit prompt.background llm.oneshot input.detect_drop paste.collapse "
        "image.attach image.attach_bytes image.detach pdf.attach file.attach",
        YES, NO,
    ),
    _group(
        "Answer the agent's questions",
        "clarify.respond clarify.lock sudo.respond terminal.read.respond client.capabilities",
        YES, NO,
    ),
    _group(
        "Approve a command; `always` would change the configuration",
        "approval.respond", OneOf("choice", _words("once session deny"), absent=True), NO,
    ),
    _group(
        "Give the agent a secret, which Hermes stores; empty declines",
        "secret.respond", OneOf("value", frozenset({""}), absent=True), NO,
    ),
    _group(
        "Subagents", "subagent.interrupt subagent.steer spawn_tree.save", YES, NO,
    ),
    _group(
        "Watch subagents",
        "delegation.status subagent.list subagent.tail spawn_tree.list spawn_tree.load", YES, YES,
    ),
    _group(
        "What a terminal asks for to draw itself",
        "commands.catalog command.resolve complete.slash setup.status "
        "pet.cells pet.info pet.info.meta gateway.ping",
        YES, YES,
    ),
    _group("Names of the server's files, for completion", "complete.path", YES, NO),
    _group(
        "What the agent has: names and states, no secrets",
        "tools.list tools.show toolsets.list plugins.list model.options setup.runtime_check "
        "insights.get projects.list projects.get projects.tree projects.for_cwd "
        "projects.project_sessions project.facts verification.status handoff.state",
        YES, NO,
    ),
    _group(
        "Read one setting",
        "config.get", OneOf("key", PLAIN_SETTINGS), OneOf("key", DISPLAY_SETTINGS),
    ),
    _group(
        "Slash commands",
        "slash.exec", Command("command", CONVERSATION_COMMANDS), NO,
    ),
    _group(
        "Slash commands, taken apart",
        "command.dispatch", Command("name", CONVERSATION_COMMANDS, alone=True), NO,
    ),
    _group(
        "Run and end commands",
        "shell.* cli.* process.* agents.list preview.* terminal.*", NO, NO,
    ),
    _group(
        "Change the configuration, or show it with what is secret",
        "config.* setup.* reload.* cron.*", NO, NO,
    ),
    _group(
        "Models and credentials", "model.* secret.* vault.*", NO, NO,
    ),
    _group(
        "Plugins, tools, skills, memory",
        "plugins.* tools.* toolsets.* skills.* learning.* browser.* mcp.*", NO, NO,
    ),
    _group("Delete transcripts, put files back", "session.delete rollback.*", NO, NO),
    _group(
        "The server's clipboard, microphone and speakers", "clipboard.* voice.*", NO, NO,
    ),
    _group(
        "Money", "billing.* subscription.* credits.* usage.bars", NO, NO,
    ),
    _group(
        "For all sessions: delegation, projects, pets, other platforms",
        "delegation.pause projects.* pet.* handoff.*", NO, NO,
    ),
)  # fmt: skip
