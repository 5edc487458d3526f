"""Stack traces of Python, of the Java family and of Go."""

import pytest

from services.ingest.core.tracebacks import describe, goes_on, split_message

JAVA = [
    "java.lang.IllegalStateException: cart: gone", "\tat shop.Cart.load(Cart.java:42)", "\tat shop.Main.main(M.java)",
    "Caused by: java.io.IOException: closed", "\tat shop.Store.get(Store.java:7)", "\t... 2 more",
]  # fmt: skip
NODE = ["TypeError: x is not a function", "    at async load (/app/cart.js:7:24)", "    at /app/index.js:3:1"]
NET = ["Unhandled exception. System.ArgumentException: bad", "   at Shop.Cart.Load(String id) in /src/Cart.cs:line 12"]
GO = [
    "panic: runtime error: index out of range", "", "goroutine 1 [running]:", "panic({0x1, 0x2})",
    "\t/usr/local/go/src/runtime/panic.go:884 +0x213", "main.(*Cart).Load(0xc0, {0x1, 0x2})", "\t/app/cart.go:12 +0x1d",
]  # fmt: skip
PYTHON = [
    "Traceback (most recent call last):", '  File "/a.py", line 1, in f', "    g()", "KeyError: 'x'", "",
    "During handling of the above exception, another exception occurred:", "",
    "Traceback (most recent call last):", '  File "/b.py", line 2, in h', "shop.errors.CartGone",
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "kind", "message", "frame"),
    [
        (PYTHON, "shop.errors.CartGone", "", "/b.py:2 h"),
        (JAVA, "java.lang.IllegalStateException", "cart: gone", "Cart.java:42 shop.Cart.load"),
        (['Exception in thread "main" ' + JAVA[0], *JAVA[1:]], "java.lang.IllegalStateException", "cart: gone",
         "Cart.java:42 shop.Cart.load"),
        (["java.lang.IllegalStateException: two", "lines", "\tat a.B.c(B.java:1)"], "java.lang.IllegalStateException",
         "two", "B.java:1 a.B.c"),
        (NODE, "TypeError", "x is not a function", "/app/cart.js:7:24 load"),
        (NET, "System.ArgumentException", "bad", "/src/Cart.cs:12 Shop.Cart.Load(String id)"),
        (GO, "panic", "runtime error: index out of range", "/app/cart.go:12 main.(*Cart).Load"),
        (["main.load", "\t/app/cart.go:324", "main.main", "\t/app/main.go:7"], "", "", "/app/cart.go:324 main.load"),
        (["no trace at all"], "", "", ""),
    ],
)  # fmt: skip
def test_what_was_raised_and_where(lines: list[str], kind: str, message: str, frame: str) -> None:
    """What finally was raised, with the innermost frame of its own trace."""
    raised = describe(lines)
    assert (raised.type, raised.message, raised.innermost_frame) == (kind, message, frame)


@pytest.mark.parametrize("trace", [PYTHON, JAVA, NODE, NET, GO])
def test_a_trace_is_told_from_the_message_before_it(trace: list[str]) -> None:
    """The message's lines are the body, the rest is the exception."""
    message, traceback = split_message(["it failed", *trace])
    assert (list(message), list(traceback)) == (["it failed"], trace)


@pytest.mark.parametrize("trace", [PYTHON, JAVA, GO])
def test_a_trace_goes_on_until_other_text_begins(trace: list[str]) -> None:
    """Each of its lines belongs to it, an ordinary one does not."""
    assert all(goes_on(trace[:index], trace[index]) for index in range(1, len(trace)))
    assert not goes_on(trace, "an ordinary line")
