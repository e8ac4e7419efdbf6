"""The `openai` SDK over aiohttp, as autointerp uses it where aiohttp is installed."""

from __future__ import annotations

import openai

from throughput.clients import bare

if __name__ == "__main__":
    bare.main(openai.DefaultAioHttpClient())
