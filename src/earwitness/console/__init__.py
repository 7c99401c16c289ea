"""Pages for people at /console: made on the server, of the same answers as the JSON API, usable without script.

To add a page:

1. Write a handler, `def some_page(call: ConsoleCall[P]) -> Content`, in a module of this room. It returns what the
   page shows, by name, and asks with `call.ask(handler_of_rest, parameters)`, which proves the role. It runs in a
   thread.
2. Write `templates/some.html`, which extends `page.html`. Words that others chose go through `| text`, times through
   `| moment`; `ui` has states, pages of lists and empty lists. Addresses are made by `url(path, name=value)` and
   `again(name=value)`; buttons are shown where `may("Operation")` says so.
3. Add a row to PAGES in `pages.py`: path, title, roles, parameters, handler, template. With `navigation` it stands in
   the navigation. That is all: its JSON (`.json`), its rights, its headers and its tests come with the row.

A page that changes by itself has `is_live=True` and shows what changes in its block `live`, the rest in `top`; others
use the block `content`. The block is sent again whenever it is another than before (`live.py`), to everybody who
looks at the same with the same role: it holds no form of a session and no attributes of htmx. A button in it belongs to
a form outside of it (`<button form="…">`). Of a page that is often open many times, each on something else, `watch`
tells cheaply and of all at once which show something else by now; without it each is read whenever something was
written, and every second.

An action is a row in ACTIONS (`actions.py`) and a form with `<input type="hidden" name="formToken" value="{{
form_token }}">`. Its handler returns `Done`, the sentence for the next page and where that is.

A form that brings a recording, a calibration, or labelled calls, is a row in UPLOADS there (`uploads.py` receives it):
the form's token is its first field, and a file before it is refused.

Scripts are files in `assets/`, named in a page's `scripts`; the pages' policy forbids all others, styles in attributes
too. What the build fetches from npm is in `static/` (`hatch_build.py`).

What belongs here: what people see. What must never: SQL, decisions of the voice engine, what a page alone would know.
"""
