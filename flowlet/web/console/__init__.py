"""The console: a module in ``pages`` for each page, and beside it what the pages are drawn with.

A page reads the request, calls one operation or report, and renders a template that extends ``base.html``. Its
blueprint is listed in ``CONSOLE_BLUEPRINTS`` of ``flowlet.web.app``::

    @blueprint.get("/inbox")
    @require_role(Role.VIEWER)
    async def show_inbox() -> Response:
        return await render_page("inbox/inbox.html", inbox=await read_inbox(get_services().store.connections))

    @blueprint.post("/inbox/<int:id>/answer")
    @require_role(Role.OPERATOR)
    async def answer_question(id: int) -> Redirection:
        submitted = await read_request_form()
        ...
        return redirect_with_success("Answered #12: Approve.", "/inbox")

- ``templates/macros.html`` has the macros, and says how to use them. Every template gets ``layout``, with the logged-in
  user (``layout.principal``) and the forms' CSRF token, which the macros ``hidden_fields``, ``action_button`` and
  ``confirm_button`` send.
- ``layout.NAVIGATION`` links to the page: a ``NavigationItem`` with an icon of ``templates/icons.html``, a role, and a
  counter if something can wait there.
- After a form comes ``redirect_with_success`` or ``redirect_with_error`` of ``flash``: status 303, and a message that
  the next page shows once. A form with faults is shown again, with status 422 and each ``error`` at its field.
- A form about one workflow sends the version that its page showed, by ``hidden_fields(version)``. If the workflow has
  changed since, nothing is done, and the message says where the workflow is now.
- Scripts only add to the pages. A part with an id and ``data-live`` is fetched again on an event (``console.js``); a
  form that the user has begun to fill in stays as it is, with its version. A list with ``data-steady`` keeps its rows
  in place (``lists.js``), links in a part with ``data-tabs`` change this part alone (``tabs.js``), and what is typed
  into a form with POST comes back until it is accepted (``drafts.js``), except for fields with ``data-no-draft``.
- A path that is only posted to leads to the nearest page above it (``form_page``): after a page with faults it is the
  address in the browser.
- ``tests/browser`` visits every page: ``browser_tab.open_as_admin("/inbox")``, its use with and without scripts, and
  ``browser_tab.check_layout_and_accessibility()``, which finds accessibility violations
  and content wider than the window.
"""
