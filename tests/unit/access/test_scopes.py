from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_twisted import rpc
from hermes_twisted.access.keys import Scope
from hermes_twisted.access.scope_table import CONVERSATION_COMMANDS, NO, PLAIN_SETTINGS, TABLE, YES
from hermes_twisted.access.scopes import refusal, row_of, rule_for

DATA = Path(__file__).parents[2] / "data"
DOCUMENT = Path(__file__).parents[3] / "docs" / "scopes.md"
RELEASES = sorted(DATA.glob("methods-*.txt"))
#: What each release of Hermes registers (`sorted(server._methods)`), and later ones are known for.
KNOWN = sorted({method for file in RELEASES for method in file.read_text().split()})


def words(text: str) -> list[str]:
    return text.split()


#: Whatever else is said of these, only the holder of a full key may.
ONLY_FULL = words("""
    shell.exec cli.exec process.stop process.kill process.list preview.restart agents.list
    config.set config.show reload.env reload.mcp cron.manage
    model.save_key model.disconnect
    plugins.manage tools.configure skills.manage skills.reload browser.manage
    learning.edit learning.delete rollback.restore rollback.diff session.delete
    voice.record voice.toggle voice.tts clipboard.paste
    billing.charge subscription.change
""")
#: A conversation cannot do without these.
CONVERSATION = words("""
    session.create session.resume session.activate session.list session.history
    session.interrupt session.steer session.undo session.title session.usage session.close
    session.compress session.most_recent session.active_list
    prompt.submit clarify.respond sudo.respond terminal.read.respond input.detect_drop
    complete.path complete.slash commands.catalog image.attach image.attach_bytes
    setup.status pet.cells terminal.resize gateway.ping session.events.since client.capabilities
""")
#: All that a watching key may call, with or without a rule for the parameters.
WATCHING = words("""
    session.list session.most_recent session.active_list session.resume session.activate
    session.history session.status session.usage session.context_breakdown session.title
    session.events.since session.events.stats delegation.status subagent.list subagent.tail
    spawn_tree.list spawn_tree.load commands.catalog command.resolve complete.slash setup.status
    pet.cells pet.info pet.info.meta gateway.ping config.get
""")


def frame(method: str, identity: Any = 1, **params: Any) -> rpc.Frame:
    return rpc.parse(json.dumps({"id": identity, "method": method, "params": params}).encode())


def allowed(scope: Scope, method: str, **params: Any) -> bool:
    return refusal(scope, frame(method, **params)) is None


def test_the_recorded_lists_are_whole() -> None:
    """The lists that the table is checked against are those of six releases, and of later ones."""
    counts = {
        file.stem.removeprefix("methods-"): len(file.read_text().split()) for file in RELEASES
    }

    assert counts == {
        "0.14.0": 68, "0.15.2": 70, "0.16.0": 74, "0.17.0": 90, "0.18.2": 128, "0.19.0": 133,
        "later": 9,
    }  # fmt: skip


@pytest.mark.parametrize("method", KNOWN)
def test_every_known_method_is_classified(method: str) -> None:
    """The table has a row for each method of each release: none is refused by oversight."""
    assert row_of(method) is not None


def test_methods_stand_in_one_row() -> None:
    """No method and no family is in two rows, and what is allowed is named exactly."""
    named = [method for row in TABLE for method in row.methods]

    assert len(named) == len(set(named))
    for row in TABLE:
        if any(method.endswith(".*") for method in row.methods):
            assert (row.chat, row.watch) == (NO, NO), row.description


def test_the_table_names_nothing_unknown() -> None:
    """Each exact name that is allowed is one of a release: no rule is there for nothing."""
    for row in TABLE:
        if row.chat is not NO:
            assert set(row.methods) <= set(KNOWN), row.description


@pytest.mark.parametrize("method", KNOWN)
def test_full_may_call_everything(method: str) -> None:
    """The default scope refuses nothing, known or not."""
    assert allowed(Scope.FULL, method)
    assert allowed(Scope.FULL, method + ".of.tomorrow")


@pytest.mark.parametrize("method", ONLY_FULL)
def test_only_full(method: str) -> None:
    """What runs commands, changes Hermes or reads its secrets is for full keys alone."""
    assert rule_for(Scope.CHAT, method) is NO
    assert rule_for(Scope.WATCH, method) is NO


@pytest.mark.parametrize("method", CONVERSATION)
def test_chat_can_hold_a_conversation(method: str) -> None:
    """A chat key may call everything that a conversation needs."""
    assert rule_for(Scope.CHAT, method) is YES


def test_watch_may_call_nothing_else() -> None:
    """A watching key may read, and attach for the events; nothing else at all."""
    assert [m for m in KNOWN if rule_for(Scope.WATCH, m) is not NO] == sorted(WATCHING)


def test_watch_may_do_no_more_than_chat() -> None:
    """A scope that may do less is nowhere allowed more."""
    for row in TABLE:
        assert row.watch is NO or row.chat is not NO, row.description


@pytest.mark.parametrize("scope", [Scope.CHAT, Scope.WATCH])
@pytest.mark.parametrize(
    "method",
    ["session.teleport", "prompt", "prompt.", ".submit", "", "SESSION.LIST", "session.list ",
     "session", "config", "shell.run", "config.get.all", "session.listing", "\x00", "*"],
)  # fmt: skip
def test_unknown_methods_are_denied(scope: Scope, method: str) -> None:
    """What the table does not name is refused: a method of tomorrow, a misspelt one."""
    if method or scope is Scope.WATCH:
        assert rule_for(scope, method) is NO


def test_answers_to_questions() -> None:
    """A frame that answers the server's own request is for those who may answer."""
    answer = rpc.parse(b'{"id":"srq-1","result":{"choice":"once"}}')

    assert refusal(Scope.FULL, answer) is None
    assert refusal(Scope.CHAT, answer) is None
    assert json.loads(refusal(Scope.WATCH, answer) or b"") == {
        "jsonrpc": "2.0",
        "id": "srq-1",
        "error": {
            "code": -32001,
            "message": 'this key has the scope "watch", which does not allow '
            "answers to the agent's questions",
        },
    }


@pytest.mark.parametrize("identity", [1, "r7", None, [1, {"a": None}], 1.5, {}])
def test_a_refusal_names_scope_and_method(identity: Any) -> None:
    """The error has the id of the request, our code, and says which scope refuses what."""
    answer = json.loads(refusal(Scope.CHAT, frame("shell.exec", identity, command="id")) or b"")

    assert answer == {
        "jsonrpc": "2.0",
        "id": identity,
        "error": {
            "code": rpc.SCOPE_DENIED,
            "message": 'this key has the scope "chat", which does not allow shell.exec',
        },
    }


def test_a_long_name_is_cut() -> None:
    """No more than 64 characters of a name come back."""
    message = json.loads(refusal(Scope.WATCH, frame("é" * 70_000)) or b"")["error"]["message"]

    assert message.endswith("does not allow " + "é" * 64 + "…")


def test_a_rule_for_parameters_is_said() -> None:
    """Where other parameters would be allowed, the error says which."""
    answer = json.loads(refusal(Scope.CHAT, frame("approval.respond", choice="always")) or b"")

    assert answer["error"]["message"].endswith(
        "does not allow approval.respond, except `choice`: `deny`, `once`, `session`"
    )


def test_a_long_rule_is_not_spelt_out() -> None:
    """The stock UI asks for this when it starts, and prints the error."""
    answer = json.loads(refusal(Scope.CHAT, frame("config.get", key="full")) or b"")

    assert answer["error"]["message"] == (
        'this key has the scope "chat", which does not allow config.get in this way'
    )


@pytest.mark.parametrize(
    ("method", "params", "chat", "watch"),
    [
        # The whole file has the providers' keys in it.
        ("config.get", {"key": "full"}, False, False),
        ("config.get", {"key": "prompt"}, False, False),
        ("config.get", {"key": "mtime"}, True, True),
        ("config.get", {"key": "skin"}, True, True),
        ("config.get", {"key": "provider"}, True, False),
        ("config.get", {"key": "Skin"}, False, False),
        ("config.get", {"key": ["skin"]}, False, False),
        ("config.get", {"key": None}, False, False),
        ("config.get", {}, False, False),
        ("approval.respond", {"choice": "once", "all": True}, True, False),
        ("approval.respond", {"choice": "deny"}, True, False),
        ("approval.respond", {}, True, False),
        ("approval.respond", {"choice": "always"}, False, False),
        ("approval.respond", {"choice": ["always"]}, False, False),
        ("secret.respond", {"request_id": "r", "value": ""}, True, False),
        ("secret.respond", {"request_id": "r", "value": "sk-1"}, False, False),
        ("secret.respond", {"request_id": "r", "value": 0}, False, False),
        ("session.title", {"session_id": "s"}, True, True),
        ("session.title", {"session_id": "s", "title": "x"}, True, False),
        ("session.title", {"session_id": "s", "title": None}, True, False),
    ],
)  # fmt: skip
def test_parameters(method: str, params: dict[str, Any], chat: bool, watch: bool) -> None:
    """Where one method does harmless things and others, its parameters decide."""
    assert allowed(Scope.FULL, method, **params)
    assert allowed(Scope.CHAT, method, **params) == chat
    assert allowed(Scope.WATCH, method, **params) == watch


@pytest.mark.parametrize(
    ("command", "chat"),
    [
        ("/help", True), ("help", True), ("  /usage  ", True), ("/undo 3", True),
        ("/queue run\nmany /model lines", True), ("//status", True), ("/steer", True),
        ("/model gpt", False), ("/model", False), ("/ help", False), ("/help/model", False),
        ("/Help", False), ("/h", False), ("/skills install x", False), ("/reload-mcp", False),
        ("/config", False), ("/yolo", False), ("/stop", False), ("/cron", False),
        ("/tools disable x", False), ("/personality x", False), ("/moa x", False),
        ("/quick-command", False), ("/background x", False), ("/helpx", False),
        ("/help\x00", False), ("", False), ("/", False), ("!ls", False),
        (["/help"], False), (None, False), ({"/help": 1}, False),
    ],
)  # fmt: skip
def test_slash_commands(command: Any, chat: bool) -> None:
    """Of slash commands a chat key may run those that are part of a conversation."""
    assert allowed(Scope.FULL, "slash.exec", command=command)
    assert allowed(Scope.CHAT, "slash.exec", session_id="s", command=command) == chat
    assert not allowed(Scope.WATCH, "slash.exec", command=command)


@pytest.mark.parametrize(
    ("name", "chat"),
    [("retry", True), ("/goal", True), ("model", False), ("retry now", False), ("Retry", False),
     ("a-skill", False), ("", False), (7, False)],
)  # fmt: skip
def test_slash_commands_taken_apart(name: Any, chat: bool) -> None:
    """The same where the name comes alone: with more in it, it would be another name."""
    assert allowed(Scope.CHAT, "command.dispatch", name=name, arg="x y") == chat
    assert not allowed(Scope.WATCH, "command.dispatch", name=name)


def test_commands_of_other_releases_change_nothing() -> None:
    """No command that configures or runs something is among those of a conversation."""
    assert not CONVERSATION_COMMANDS & {
        "model", "moa", "config", "tools", "toolsets", "skills", "plugins", "cron", "stop", "kill",
        "reload", "reload-mcp", "reload-skills", "yolo", "fast", "reasoning", "personality",
        "prompt", "skin", "browser", "voice", "background", "bg", "handoff", "profile", "gateway",
        "snapshot", "rollback", "save", "update", "restart", "new", "clear", "quit", "exit",
    }  # fmt: skip
    assert not PLAIN_SETTINGS & {"full", "prompt"}


DUPLICATES = [
    # The last of two members with one name is the one that Hermes acts on.
    (b'{"id":1,"method":"session.list","method":"shell.exec"}', False),
    (b'{"id":1,"method":"shell.exec","method":"session.list"}', True),
    (b'{"id":1,"method":"session.list","\\u006dethod":"shell.exec"}', False),
    (b'{"id":1,"method":"session.list","meth\\u006Fd":"shell.exec"}', False),
    (b'{"id":1,"method":"shell\\u002eexec"}', False),
    (b'{"id":1,"method":"config.get","params":{"key":"skin","key":"full"}}', False),
    (b'{"id":1,"method":"config.get","params":{"key":"full","key":"skin"}}', True),
    (b'{"id":1,"method":"config.get","params":{"key":"skin","\\u006bey":"full"}}', False),
    (b'{"id":1,"method":"config.get","params":{"key":"f\\u0075ll"}}', False),
    (b'{"id":1,"method":"config.get","params":{"key":"sk\\u0069n"}}', True),
    (b'{"id":1,"method":"config.get","params":{"key":"skin"},"params":{"key":"full"}}', False),
    (b'{"id":1,"method":"config.get","params":{"key":"full"},"params":{"key":"skin"}}', True),
    (b'{"method":"config.get","params":{"key":"skin"},"par\\u0061ms":{"key":"full"}}', False),
    (b'{"params":{"key":"full"},"method":"config.get","x":{"params":{"key":"skin"}}}', False),
    (b'{"id":1,"method":"config.get","params":{"a":{"key":"skin"},"key":"full"}}', False),
    (b'{"id":1,"method":"config.get","params":[{"key":"skin"}]}', False),
    (b'{"id":1,"method":"config.get","params":{"key":"skin"},"params":null}', False),
    (b'{"id":1,"method":"config.get","params":{"key\\u0000":"skin"}}', False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "chat"), DUPLICATES)
def test_what_is_judged_is_what_is_run(text: bytes, chat: bool) -> None:
    """Members that come twice, or spelt with escapes, are read as Hermes reads them."""
    parsed, run = rpc.parse(text), json.loads(text)

    assert parsed.method == run["method"]
    assert (refusal(Scope.CHAT, parsed) is None) == chat


NAMES = st.sampled_from(["method", "params", "id", "key", "result", "x", "meth", ""])
LEAVES = st.sampled_from(["shell.exec", "session.list", "config.get", "full", "skin", "", 'é"\\'])


def spelt(text: str, escaped: list[bool]) -> str:
    """A JSON string, some of its characters as escapes."""
    plain = [json.dumps(character)[1:-1] for character in text]
    mixed = [
        f"\\u{ord(character):04x}" if escape else plain
        for character, plain, escape in zip(text, plain, escaped, strict=False)
    ]
    return '"' + "".join(mixed + plain[len(mixed) :]) + '"'


SPELT_NAMES = st.builds(spelt, NAMES, st.lists(st.booleans(), max_size=6))
SPELT_LEAVES = st.builds(spelt, LEAVES, st.lists(st.booleans(), max_size=6))


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.tuples(SPELT_NAMES, values), max_size=6)
    return members.map(lambda pairs: "{" + ",".join(f"{a}:{b}" for a, b in pairs) + "}")


VALUES = st.recursive(
    SPELT_LEAVES | st.sampled_from(["1", "null", "true", "[]", "{}"]), objects, max_leaves=8
)


@given(objects(VALUES))
def test_frames_are_read_as_hermes_reads_them(text: str) -> None:
    """For any object with members in any number and spelling: the same method, the same params."""
    run = json.loads(text)
    try:
        parsed = rpc.parse(text.encode())
    except rpc.BadFrame:
        assert not (isinstance(run.get("method"), str) and run["method"])
        return

    assert parsed.method == (run.get("method") or "")
    params = run.get("params")
    wanted = params.get("key", ...) if isinstance(params, dict) else ...
    found = parsed.param("key")
    assert (json.loads(found) if found else ...) == wanted


def rows() -> str:
    """The table of `docs/scopes.md`."""
    lines = ["| What | Methods | `chat` | `watch` |", "|---|---|---|---|"]
    for row in TABLE:
        methods = " ".join(f"`{method}`" for method in row.methods)
        lines.append(f"| {row.description} | {methods} | {row.chat} | {row.watch} |")
    return "\n".join(lines)


def test_the_document_has_the_table() -> None:
    """`docs/scopes.md` says what the data say."""
    assert rows() in DOCUMENT.read_text(encoding="utf-8")
