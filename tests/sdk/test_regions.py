"""Official SDKs, without retries of their own, call a model in three regions while regions die. They see only successes.

A stream that has delivered a token cannot move to another region. If its region dies then, the SDK must raise an error.
"""

import asyncio
import os
import signal
import threading

import anthropic
import openai
import pytest
from conftest import PATIENCE, WIDE_KEY, Process

REGIONS = ["us-east-1", "us-east-2", "us-west-2"]
# Most calls that are in flight when a region dies have no token yet.
PROMPT = "Hello [simulate slow 20ms]"
ANSWER = f"You said: {PROMPT}"
MESSAGES = [{"role": "user", "content": PROMPT}]

CONFIG = """
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[store]
url = "memory:"
[aws]
region = "us-east-1"
{regions}
[models.claude]
target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
regions = {names}
strategy = "round_robin"
first_token_timeout = "6s"
[keys.wide]
secret_env = "WIDE_KEY"
"""


class Region:
    """A simulator in a process of its own, which keeps its port when it is started again."""

    def __init__(self):
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        self.process = Process.start(["simulate", "--listen", self.address], {})
        self.url = self.process.wait_for(r"Bedrock is at (http://\S+)").group(1)
        self.address = self.url.removeprefix("http://")

    def signal(self, number):
        self.process.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.process.wait(timeout=PATIENCE)


class Callers:
    """Calls again and again, in every way at once, until it is stopped. Counts the answers of each caller and region."""

    def __init__(self, url):
        own = {"api_key": WIDE_KEY, "max_retries": 0, "timeout": PATIENCE}
        self.openai = openai.OpenAI(base_url=f"{url}/v1", **own)
        self.asynchronous = lambda: openai.AsyncOpenAI(base_url=f"{url}/v1", **own)
        self.anthropic = anthropic.Anthropic(base_url=url, **own)
        self.changed = threading.Condition()
        self.is_stopped = False
        self.answers, self.by_region, self.failures, self.broken = {}, dict.fromkeys(REGIONS, 0), [], []
        works = [self.whole, self.streamed, self.message, self.message_stream]
        targets = [lambda work=work: self.repeat(work) for work in works]
        targets.append(lambda: asyncio.run(self.repeat_asynchronously()))
        self.threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.is_stopped = True
        for thread in self.threads:
            thread.join(timeout=PATIENCE)
            assert not thread.is_alive()

    def repeat(self, work):
        while not self.is_stopped:
            tokens = []
            try:
                self.record(work.__name__, work(tokens), "".join(tokens))
            except Exception as error:
                self.fail(work.__name__, tokens, error)

    def record(self, name, region, text):
        with self.changed:
            if text != ANSWER:
                self.failures.append((name, region, text))
            self.answers[name] = self.answers.get(name, 0) + 1
            self.by_region[region] += 1
            self.changed.notify_all()

    def fail(self, name, tokens, error):
        with self.changed:
            (self.broken if tokens else self.failures).append((name, "".join(tokens), repr(error)))
            self.changed.notify_all()

    def wait_until(self, condition):
        with self.changed:
            assert self.changed.wait_for(lambda: self.failures or condition(), timeout=PATIENCE)
            assert not self.failures

    def wait_for_answers(self, count, names=("whole", "streamed", "message", "message_stream", "acreate", "astream")):
        """Waits until each caller has so many more answers."""
        before = dict(self.answers)
        self.wait_until(lambda: all(self.answers.get(n, 0) >= before.get(n, 0) + count for n in names))

    def whole(self, tokens):
        raw = self.openai.chat.completions.with_raw_response.create(model="claude", messages=MESSAGES)
        completion = raw.parse()
        assert completion.choices[0].finish_reason == "stop"
        tokens.append(completion.choices[0].message.content)
        return raw.headers["x-lintel-region"]

    def streamed(self, tokens):
        raw = self.openai.chat.completions.with_raw_response.create(model="claude", messages=MESSAGES, stream=True)
        finish = None
        for chunk in raw.parse():
            for choice in chunk.choices:
                if choice.delta.content:
                    tokens.append(choice.delta.content)
                finish = choice.finish_reason or finish
        assert finish == "stop"
        return raw.headers["x-lintel-region"]

    def message(self, tokens):
        raw = self.anthropic.messages.with_raw_response.create(model="claude", max_tokens=100, messages=MESSAGES)
        message = raw.parse()
        assert message.stop_reason == "end_turn"
        tokens.append(message.content[0].text)
        return raw.headers["x-lintel-region"]

    def message_stream(self, tokens):
        with self.anthropic.messages.stream(model="claude", max_tokens=100, messages=MESSAGES) as stream:
            for text in stream.text_stream:
                tokens.append(text)
            assert stream.get_final_message().stop_reason == "end_turn"
            return stream.response.headers["x-lintel-region"]

    async def repeat_asynchronously(self):
        client = self.asynchronous()

        async def acreate(tokens):
            raw = await client.chat.completions.with_raw_response.create(model="claude", messages=MESSAGES)
            tokens.append(raw.parse().choices[0].message.content)
            return raw.headers["x-lintel-region"]

        async def astream(tokens):
            create = client.chat.completions.with_raw_response.create
            raw = await create(model="claude", messages=MESSAGES, stream=True)
            async for chunk in raw.parse():
                tokens.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)
            return raw.headers["x-lintel-region"]

        async def repeat(work):
            while not self.is_stopped:
                tokens = []
                try:
                    self.record(work.__name__, await work(tokens), "".join(tokens))
                except Exception as error:
                    self.fail(work.__name__, tokens, error)

        await asyncio.gather(repeat(acreate), repeat(astream))


@pytest.fixture
def regions():
    all_regions = {name: Region() for name in REGIONS}
    yield all_regions
    for region in all_regions.values():
        region.signal(signal.SIGCONT)
        region.kill()


@pytest.fixture
def url(regions, tmp_path):
    """The root of a gateway over all regions."""
    tables = [f'[aws.regions.{name}]\nendpoint_url = "{region.url}"' for name, region in regions.items()]
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(regions="\n".join(tables), names=REGIONS))
    environment = {
        "WIDE_KEY": WIDE_KEY,
        "AWS_ACCESS_KEY_ID": "simulator",
        "AWS_SECRET_ACCESS_KEY": "simulator",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    process = Process.start(["serve", "--config", os.fspath(config)], environment)
    address = process.wait_for(r'"message":"serving".*"data":"([^"]+)"').group(1)
    yield f"http://{address}"
    process.process.kill()


def test_sdks_see_only_successes_while_regions_die(regions, url):
    callers = Callers(url)
    try:
        callers.wait_for_answers(5)
        assert all(callers.by_region.values()), callers.by_region
        first, second, _ = REGIONS

        # Killed in the middle of calls, and started again.
        regions[first].kill()
        callers.wait_for_answers(10)
        regions[first].start()
        before = callers.by_region[first]
        callers.wait_until(lambda: callers.by_region[first] > before + 5)

        # Accepts connections and never answers: streams move before their first token. Whole replies wait.
        regions[second].signal(signal.SIGSTOP)
        callers.wait_for_answers(3, ["streamed", "message_stream", "astream"])
        regions[second].signal(signal.SIGCONT)
        callers.wait_for_answers(5)
    finally:
        callers.stop()
    assert not callers.failures
    # At most one for each caller that streams, at the moment of the kill.
    assert len(callers.broken) <= 3, callers.broken


def test_stream_of_a_region_that_dies_after_its_first_token_raises_an_error(regions, url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=WIDE_KEY, max_retries=0, timeout=PATIENCE)
    paced = [{"role": "user", "content": "[simulate words 40] [simulate pace 500ms]"}]
    create = client.chat.completions.with_raw_response.create
    raw = create(model="claude", messages=paced, stream=True)
    chunks = iter(raw.parse())
    assert next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content)
    regions[raw.headers["x-lintel-region"]].kill()
    with pytest.raises(openai.APIError):
        list(chunks)
