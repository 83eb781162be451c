"""The pages of the console: a module for each, which reads the request, calls one operation or report, and renders.

A page is a blueprint here, in ``PAGES`` of ``flowlet.web.app``, with a template that extends ``base.html``::

    @blueprint.get("/inbox")
    @needs(Role.VIEWER)
    async def show() -> Response:
        return await page("inbox/inbox.html", waiting=await waiting(services().store))

    @blueprint.post("/inbox/<int:id>/answer")
    @needs(Role.OPERATOR)
    async def answer(id: int) -> Redirection:
        given = await form()
        ...
        return done("Answered: the order goes on.", "/inbox")

- ``templates/parts.html`` has the parts of templates, and says how to use them; ``frame`` is in each, with who is
  logged in (``frame.principal``) and the token of forms, which the macros ``hidden``, ``action`` and ``confirm`` send.
- ``frame.NAVIGATION`` leads to the page: an ``Entry`` with a sign of ``templates/icons.html``, a role, and a count if
  something may wait there.
- After a form the answer is ``done(message, address)`` or ``refused(message, address)`` of ``notices``: 303, and told
  once on the page that follows. A form that has to be mended is shown again, with status 422 and each ``error`` at its
  field.
- A form about one workflow carries the version that was looked at, ``hidden(version)``. Where the workflow's is another
  one, nothing is done, and ``refused`` says where it is now.
- ``static/console.js`` only adds. A part with an id and ``data-live`` is fetched again on an event; a form somebody has
  begun to fill in is left as it is, its version too.
- ``tests/browser`` visits every page: ``visitor.enter("/inbox")``, the way with and without scripts, and
  ``visitor.look_around()``, which finds what hinders anybody and what is wider than a window.
"""
