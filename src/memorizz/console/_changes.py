"""What changes something: there with --write alone, and only for forms that one of our own pages made."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from starlette.responses import RedirectResponse, Response

from memorizz.console._page import NotFound, Page, json_object
from memorizz.errors import ConfigurationError

# In whose name the history has it.
_ACTOR = "console"


async def edit(page: Page) -> Response:
    """Change the text of a document, and other keys; refused where it is not the one any more that was looked at."""
    form, store, id = await page.form(), (await page.spec()).name, page.query.get("id", "")
    changes = json_object(form.get("keys", "") or "{}", "the keys")
    if "content" in form:
        # Browsers send line breaks as two characters.
        changes["content"] = form["content"].replace("\r\n", "\n")
    call = _new_call()
    seen = {"id": id, "updated_at": form.get("seen", "")}
    if not await page.view.acting(_ACTOR, call).update(store, seen, changes):
        raise ConfigurationError("it has been changed or deleted meanwhile: look at it as it is now, and edit that")
    return _done(page, "document", "Edited", call, store, id=id)


async def delete(page: Page) -> Response:
    """Delete a document."""
    await page.form()
    store, id, call = (await page.spec()).name, page.query.get("id", ""), _new_call()
    if not await page.view.acting(_ACTOR, call).delete_by_id(id, store):
        raise NotFound(f"{store} has no document with the id {id!r} here")
    return _done(page, "memories", "Deleted", call, store)


async def restore(page: Page) -> Response:
    """Put a document back as it was in a version."""
    form, store, id = await page.form(), (await page.spec()).name, page.query.get("id", "")
    number, call = form.get("version", ""), _new_call()
    if not number.isdecimal():
        raise ConfigurationError(f"version={number!r}: expected the number of a version")
    if not await page.view.acting(_ACTOR, call).restore(id, store, int(number)):
        raise ConfigurationError("it was not there in that version: to have it gone, delete it")
    return _done(page, "document", "Restored", call, store, id=id)


async def undo(page: Page) -> Response:
    """Take back what a call of the console has changed."""
    form = await page.form()
    taken = await page.view.acting(_ACTOR, _new_call()).undo(call=form.get("call", ""))
    count = sum(map(len, taken.values()))
    return RedirectResponse(page.sight.to("", done=f"Taken back: {count} document{'s' if count != 1 else ''}"), 303)


async def forgetting(page: Page) -> Response:
    """Show what forgetting a memory would delete; nothing is deleted."""
    receipt = await _whole(page).forget(_memory(page), dry_run=True)
    return page.show("forget.html", receipt=receipt, memory=_memory(page))


async def forget(page: Page) -> Response:
    """Forget a memory, and show the receipt."""
    await page.form()
    receipt = await _whole(page).forget(_memory(page), by=_ACTOR)
    return page.show("forget.html", receipt=receipt, memory=_memory(page))


def _memory(page: Page) -> str:
    memory = page.console.memory or page.sight.memory
    if not memory:
        raise ConfigurationError("which memory is to be forgotten? name it at the side, and look at it first")
    return memory


def _whole(page: Page) -> Any:
    """Return the view of the tenant: forgetting takes the memory out of its agents, too."""
    return page.sight.through(page.console.view())


def _new_call() -> str:
    return f"console-{uuid4()}"


def _done(page: Page, where: str, what: str, call: str, store: str, **wanted: str) -> Response:
    """Lead to a page that says what was done, and offers to take it back where a history is kept."""
    kept = call if store in page.console.kept else ""
    return RedirectResponse(page.sight.to(where, store=store, done=what, call=kept, **wanted), 303)
