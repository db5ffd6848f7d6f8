"""The schemas of the framework tests: nested objects, enums, arrays, optional members, defaults, a union, a discriminated
union, bounds, and definitions with titles. Also finds what the simulator received."""

import enum
import json
import typing
import urllib.request

import jsonschema
from pydantic import BaseModel, ConfigDict, Field

# One model per family of rules: native schemas, tools with the smallest schemas, no forced tools, open weights.
MODELS = {
    "claude": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "nova": "us.amazon.nova-2-lite-v1:0",
    "llama": "us.meta.llama4-maverick-17b-instruct-v1:0",
    "gpt-oss": "openai.gpt-oss-120b-1:0",
}


class Cabin(enum.Enum):
    ECONOMY = "economy"
    BUSINESS = "business"


class Passenger(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(description="As in the passport")
    age: int = Field(ge=0, le=150)
    seat: str | None = Field(default=None, pattern=".+")


class Flight(BaseModel):
    kind: typing.Literal["flight"]
    number: str
    cabin: Cabin = Cabin.ECONOMY


class Train(BaseModel):
    kind: typing.Literal["train"]
    carriage: int


class Trip(BaseModel):
    """A trip to book."""

    city: str = Field(min_length=1, max_length=80)
    passengers: list[Passenger] = Field(min_length=1)
    leg: Flight | Train = Field(discriminator="kind")
    reference: int | str
    currency: str = "EUR"
    note: str | None = None


class LabeledTrip(Trip):
    """A trip with an open map, which strict schemas cannot express."""

    labels: dict[str, str] = {}


def confirm(trip):
    """Returns the result of the tool. `trip` is what a framework made of the model's arguments."""
    assert isinstance(trip, Trip) and trip.passengers[0].name, trip
    return f"booked {trip.leg.number} in {trip.leg.cabin.value}"


CONFIRMED = "booked number in economy"
ANSWER = f"You said: {CONFIRMED}"


class Upstream:
    """The requests that the simulator received from the gateway."""

    def __init__(self, simulator_url):
        self.url = f"{simulator_url}/_simulator/requests"

    def containing(self, word):
        with urllib.request.urlopen(self.url) as reply:
            return [request for request in json.load(reply) if word in json.dumps(request["body"])]

    def assert_tool_loop(self, word, model, tool="book_trip", stream=False):
        """Two requests: one offers the tool, the other brings the model's own call and the tool's result back."""
        first, second = self.containing(word)
        operations = {request["path"].rsplit("/", 1)[1] for request in (first, second)}
        assert {request["model_id"] for request in (first, second)} == {model}
        # Llama does not stream tools, so the gateway asks for whole replies.
        assert operations == ({"converse-stream"} if stream and "llama" not in model else {"converse"})
        for request in (first, second):
            [offered] = request["body"]["toolConfig"]["tools"]
            assert offered["toolSpec"]["name"] == tool
            schema = offered["toolSpec"]["inputSchema"]["json"]
        assert schema["type"] == "object"
        called, answered = second["body"]["messages"][-2:]
        [call] = [block["toolUse"] for block in called["content"] if "toolUse" in block]
        [result] = [block["toolResult"] for block in answered["content"]]
        assert call["name"] == tool and call["toolUseId"] == result["toolUseId"]
        assert CONFIRMED in json.dumps(result["content"])
        jsonschema.validate(call["input"], schema)
        return first["body"]
