"""The whole way through a real browser: sign in, add a key, chat, see what it cost.

Chromium is looked for at CHROMIUM_PATH, then on the PATH. The provider is the simulator.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.simulator.app import SimulatorApp
from benchmarks.simulator.server import SimulatorThread
from benchmarks.simulator.wire import Receive, Scope, Send
from byom.asgi import application
from byom.tests.live_server import serve
from credentials.tests.factories import CredentialFactory, UserFactory
from usage.models import Budget, UsageRecord

CHROMIUM = os.environ.get("CHROMIUM_PATH") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUESTION = "What is the capital of France?"
PASSWORD = "correct horse battery"
PAGES = (
    "/", "/keys/", "/keys/add/", "/keys/tokens/", "/keys/tokens/new/", "/keys/aliases/",
    "/keys/aliases/new/", "/keys/trail/", "/chat/", "/chat/new/", "/chat/tool-servers/", "/usage/",
    "/accounts/email/", "/accounts/password/change/", "/accounts/2fa/",
    "/usage/records/", "/usage/budgets/", "/usage/budgets/new", "/usage/alerts/",
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.django_db(transaction=True),
    # WhiteNoise is synchronous: under ASGI Django reads its files whole, and says so each time.
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: set CHROMIUM_PATH"),
]


@pytest.fixture
def user(transactional_db: None) -> User:
    return UserFactory.create(username="ada", password=PASSWORD)


@pytest.fixture
def site(transactional_db: None, settings: Any) -> Iterator[str]:
    """The address of the running product, its calls going to the simulator."""
    settings.ACCOUNT_RATE_LIMITS = False
    with SimulatorThread() as simulator, serve(application) as url:
        settings.SIMULATOR_URL = simulator.url
        yield url


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    # Playwright's event loop runs in this thread, and Django's ORM refuses such a thread; here
    # it is only the database's own set-up and tear-down that comes by.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: script errors and violations of the policy."""
    return []


@pytest.fixture
def page(site: str, user: User, browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A page of somebody who has signed in. What it complains about fails the test."""
    context = browser.new_context(base_url=site)
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(tab)
    yield tab
    context.close()
    assert complaints == []


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Login").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign In").click()
    expect(page.get_by_role("heading", name="Hello, ada")).to_be_visible()


def start_chat(page: Page, *tools: str) -> None:
    page.goto("/chat/new/")
    for tool in tools:
        page.get_by_label(tool).check()
    page.get_by_role("button", name="Start").click()
    # A click does not wait for the page it leads to: what is typed before is typed into the form.
    page.wait_for_url(lambda url: not url.endswith("/chat/new/"))
    expect(page.get_by_label("Message")).to_be_focused()


def ask(page: Page, question: str) -> None:
    page.keyboard.type(question)
    page.keyboard.press("Enter")


def test_from_the_first_key_to_the_bill(page: Page) -> None:
    page.goto("/keys/add/")
    page.get_by_label("API key").fill("sk-sim-ok-1234567890")
    expect(page.get_by_text("This is a simulator key")).to_be_visible()
    page.get_by_role("button", name="Add key").click()
    expect(page.get_by_text("********7890").first).to_be_visible()

    start_chat(page)
    ask(page, QUESTION)
    chat = page.get_by_role("log")
    expect(chat.locator(".receipt")).to_be_visible()
    expect(chat).to_contain_text("Paris")
    expect(chat).to_contain_text("Own key")
    expect(chat.get_by_text("simulated")).to_be_visible()
    cost = chat.locator("[data-receipt=cost]").inner_text()
    assert re.fullmatch(r"\$0\.\d+", cost)

    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("table").last).to_contain_text(cost)


def test_a_streamed_answer_looks_as_it_will_after_a_reload(page: Page) -> None:
    start_chat(page)
    ask(page, QUESTION)
    expect(page.locator(".receipt")).to_be_visible()
    streamed = page.get_by_role("log").inner_text()
    page.reload()
    assert page.get_by_role("log").inner_text() == streamed
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()


@pytest.fixture
def overdrawn(user: User) -> None:
    Budget.objects.create(name="Lunch", user=user, owner=user, limit_units=1, is_hard=False)


def test_a_soft_budget_is_heard_of_under_the_answer(overdrawn: None, page: Page) -> None:
    start_chat(page)
    ask(page, QUESTION)
    expect(page.locator(".receipt .warning")).to_have_text("The budget “Lunch” is overdrawn.")

    page.goto("/usage/budgets/")
    page.get_by_role("button", name=re.compile("Delete.*Lunch")).click()
    expect(page.get_by_role("heading", name="Delete Lunch?")).to_be_visible()
    page.get_by_role("button", name="Delete the budget").click()
    expect(page.get_by_text("Budget Lunch deleted.")).to_be_visible()


@pytest.fixture
def cheap_call(user: User) -> None:
    UsageRecord.objects.create(
        user=user, surface="api", provider="openai", model="gpt-4o-mini", cost_usd="0.0000665",
        usage_source="reported", latency_ms=400, status="ok", paid_by="user",
    )  # fmt: skip


@pytest.mark.parametrize("width", [1280, 360])
def test_a_cost_of_many_digits_stands_on_one_line(cheap_call: None, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/usage/")
    cost = page.locator(".facts dd").first
    expect(cost).to_have_text("$0.0000665")
    box = cost.bounding_box()
    assert box and box["height"] < 40


def test_the_sum_of_a_turn_looks_as_it_will_after_a_reload(page: Page) -> None:
    start_chat(page, "calculator")
    ask(page, "Use calculator: what is 6*7?")
    whole = page.get_by_label("The whole turn")
    expect(whole).to_contain_text("Whole turn: 2 calls")
    streamed = whole.inner_text()
    page.reload()
    assert whole.inner_text() == streamed


def test_shift_enter_makes_a_new_line(page: Page) -> None:
    start_chat(page)
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(page.get_by_label("Message")).to_have_value("one\ntwo")


def test_a_model_is_found_and_picked_by_keyboard(user: User, page: Page) -> None:
    page.goto("/chat/new/")
    box = page.get_by_role("combobox", name="Model")
    box.press_sequentially("claude haiku 4-5")
    option = page.get_by_role("option")
    expect(option).to_have_count(1)
    expect(option).to_contain_text("$1.00 in, $5.00 out")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("claude-haiku-4-5")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(page.locator("#picked")).to_contain_text("a turn")
    page.get_by_role("radio", name="OpenAI").check()
    expect(box).to_have_value("")
    expect(page.locator("#picked")).to_contain_text("gpt-4o-mini")
    box.fill("gpt-of-nobody")
    expect(page.locator("#picked")).to_contain_text("no price")
    box.fill("gpt-5")
    box.press("Escape")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("gpt-5", exact=False).first).to_be_visible()


@pytest.fixture
def own_server(user: User) -> None:
    CredentialFactory.create(
        owner=user, provider="openai_compatible", label="At home", model_name="llama"
    )


def test_the_models_of_an_own_server_are_asked_for(own_server: None, page: Page) -> None:
    page.goto("/chat/new/")
    page.get_by_role("radio", name="At home").check()
    page.get_by_role("combobox", name="Model").click()
    option = page.get_by_role("option", name="gpt-4.1-mini")
    expect(option).to_contain_text("no price")
    expect(page.locator("#list-source")).to_contain_text("As the provider lists them")
    option.click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value("gpt-4.1-mini")


@pytest.fixture
def slow_key(user: User) -> None:
    CredentialFactory.create(owner=user, key="sk-sim-slow-1234567890", is_default=True)


def test_stop_ends_the_answer(slow_key: None, page: Page) -> None:
    start_chat(page)
    ask(page, QUESTION)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped before an answer arrived.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


@pytest.fixture
def refused_key(user: User) -> None:
    CredentialFactory.create(owner=user, key="sk-sim-401-1234567890", is_default=True)


def test_a_failure_is_a_sentence_that_stays(refused_key: None, page: Page) -> None:
    start_chat(page)
    ask(page, QUESTION)
    problem = page.get_by_text("does not accept this API key")
    expect(problem).to_be_visible()
    page.reload()
    expect(problem).to_be_visible()


def test_deleting_a_key_asks_first(slow_key: None, page: Page) -> None:
    page.goto("/keys/")
    page.get_by_role("link", name="Manage").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the key").click()
    expect(page.get_by_role("heading", name="No keys yet")).to_be_visible()


@pytest.fixture
def good_key(user: User) -> None:
    CredentialFactory.create(owner=user)


def test_a_key_is_tested_where_one_stands(good_key: None, page: Page) -> None:
    page.goto("/keys/")
    page.get_by_role("link", name="Manage").click()
    page.get_by_label("Label").fill("typed already")
    button = page.get_by_role("button", name="Test connection")
    button.click()
    expect(page.get_by_role("status")).to_contain_text("OpenAI accepts this key")
    expect(page.get_by_text("just now")).to_be_visible()
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-busy", "false")
    expect(page.get_by_label("Label")).to_have_value("typed already")


@pytest.fixture
def in_the_background(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "byom.tasks.ThreadBackend"}}


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The provider answers ten calls, and the others once this is set."""
    is_let, number, answer = threading.Event(), itertools.count(), SimulatorApp.__call__

    async def held(app: SimulatorApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and next(number) >= 10:
            await asyncio.to_thread(is_let.wait)
        await answer(app, scope, receive, send)

    monkeypatch.setattr(SimulatorApp, "__call__", held)
    yield is_let
    is_let.set()


def test_a_benchmark_from_start_to_verdict(
    in_the_background: None, good_key: None, page: Page, rest: threading.Event
) -> None:
    page.goto("/benchmarks/")
    page.get_by_role("link", name="Start one").click()
    expect(page.get_by_role("status")).to_contain_text("31 calls, at most $")
    page.get_by_label("Medium Explanation").uncheck()
    page.get_by_label("Complex Reasoning").uncheck()
    page.get_by_label("Models for OpenAI").fill("gpt-4o-mini, gpt-4o")
    page.get_by_label("Runs").fill("15")
    expect(page.get_by_role("status")).to_contain_text("32 calls, at most $")
    page.get_by_role("button", name="Start").click()

    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\b([1-9]|10) of 32 calls"))).to_be_visible(timeout=60_000)
    rest.set()
    expect(page.get_by_role("heading", name="Verdicts")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("img", name="Response time of the calls")).to_be_visible()
    page.get_by_role("link", name="All calls").click()
    expect(page.get_by_text("32 calls, in the order of the plan.")).to_be_visible()


def test_a_benchmark_is_cancelled_and_gone_on_with(
    in_the_background: None, slow_key: None, page: Page
) -> None:
    page.goto("/benchmarks/new/")
    page.get_by_text("More: prompts with checks").click()
    page.get_by_label("Warm-up calls").fill("0")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("no call is made twice")).to_be_visible()


def test_no_page_scrolls_sideways_on_a_small_phone(slow_key: None, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 720})
    start_chat(page)
    chat = page.url
    page.goto("/keys/")
    key = page.get_by_role("link", name="Manage").get_attribute("href") or ""
    widths = {}
    for address in (*PAGES, chat, key):
        page.goto(address)
        widths[address] = page.evaluate("document.documentElement.scrollWidth")
    assert max(widths.values()) <= 360, widths


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.goto("/keys/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Provider keys")).to_be_focused()


def test_a_chosen_theme_is_remembered(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_it_works_without_scripts(site: str, user: User, browser: Browser) -> None:
    with browser.new_context(base_url=site, java_script_enabled=False) as context:
        tab = context.new_page()
        sign_in(tab)
        tab.goto("/chat/new/")
        tab.get_by_role("button", name="Start").click()
        tab.get_by_label("Message").fill(QUESTION)
        tab.get_by_role("button", name="Send").click()
        expect(tab.get_by_role("log")).to_contain_text("Paris")
        expect(tab.locator(".receipt")).to_contain_text("System key")
