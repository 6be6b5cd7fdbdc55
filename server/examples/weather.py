"""A tool with typed arguments and structured output, a template, and a prompt.

c100k-server serve weather:app --http 127.0.0.1:8000
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from c100k_server import App, ToolError

CELSIUS = {"london": 11.0, "nairobi": 24.5, "quito": 15.0}

app = App("weather", instructions="Ask for the weather of a city, in lower case.")


class Weather(msgspec.Struct):
    city: str
    temperature: float
    unit: Literal["celsius", "fahrenheit"]


@app.tool(annotations={"readOnlyHint": True})
def forecast(
    city: Annotated[str, msgspec.Meta(description="Its name, in lower case.", min_length=1)],
    unit: Literal["celsius", "fahrenheit"] = "celsius",
) -> Weather:
    """The temperature in a city."""
    if city not in CELSIUS:
        raise ToolError(f"nothing is known of {city}; try {', '.join(CELSIUS)}")
    celsius = CELSIUS[city]
    return Weather(city, celsius if unit == "celsius" else celsius * 9 / 5 + 32, unit)


@app.resource("weather://{city}", mime_type="application/json", ttl_ms=60_000, cache_scope="public")
def weather(city: str) -> Weather:
    """The weather of a city, as JSON."""
    return forecast(city)


@app.prompt
def packing(city: str) -> str:
    """What to pack for a journey."""
    return f"It is {CELSIUS.get(city, 20.0)} degrees in {city}. What should I pack?"


@app.complete("packing", "city")
@app.complete("weather://{city}", "city")
def cities(typed: str) -> list[str]:
    return [city for city in CELSIUS if city.startswith(typed)]
