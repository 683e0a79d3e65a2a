"""The page that asks for the passphrase, for browsers of the network."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs.serve.pages import error_page, rendered
from jobs.serve.passphrase import Passphrase

ADDRESS = "/sign-in"
WRONG = "That is not the passphrase."
TOO_OFTEN = "Too many tries. Wait a minute."


async def sign_in(request: Request, passphrase: Passphrase) -> Response | None:
    """What is answered to a browser that has no cookie yet; None if it gave the right passphrase."""
    if request.method in ("GET", "HEAD"):
        return rendered("sign_in.html.j2", ADDRESS, wrong="")
    if request.method != "POST":
        return error_page(405, "Send the passphrase with the form.")
    if not passphrase.may_try():
        return rendered("sign_in.html.j2", ADDRESS, 429, wrong=TOO_OFTEN)
    said = parse_qs((await request.body()).decode("utf-8", "replace")).get("passphrase", [""])[0]
    if not await run_in_threadpool(passphrase.is_right, said):
        return rendered("sign_in.html.j2", ADDRESS, 403, wrong=WRONG)
    return None


def to_sign_in() -> Response:
    """Leads a browser to the page."""
    return RedirectResponse(ADDRESS, 303)
