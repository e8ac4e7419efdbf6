"""The `openai` SDK over aiohttp through the adapter that it ships."""

from __future__ import annotations

import openai

from throughput.clients import bare

if __name__ == "__main__":
    bare.main(openai.DefaultAioHttpClient())
