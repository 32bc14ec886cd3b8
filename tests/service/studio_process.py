"""A server process that may be killed: queues what it is told, prints the jobs' ids, and then only draws.

`python studio_process.py DATA CHECKPOINT COUNT STEPS`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from live_studio import asked

from hidream_studio.library.library import Library
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings


async def main() -> None:
    data, checkpoint, count, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    settings = Settings(model=checkpoint, profile="o1-tiny", data=data, threads=1)
    studio = Studio(settings, Library.open(data))
    await studio.start()
    views = [await studio.submit(asked(seed=seed, steps=steps)) for seed in range(count)]
    sys.stdout.write(" ".join(view.id for view in views) + "\n")
    sys.stdout.flush()
    async for event in studio.subscribe():
        if event.type == "running":
            sys.stdout.write(f"{studio.health().worker_pid} {event.data['id']} {event.data.get('step', 0)}\n")
            sys.stdout.flush()


asyncio.run(main())
