"""The newest feed of updates that a box has seen, in `feed.json` of the slots' folder. Root writes, the agent reads."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.state_file import StateFile

FILE_NAME = "feed.json"

FeedTime: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class SeenFeed(msgspec.Struct, frozen=True, kw_only=True):
    """Of the newest signed feed, compared with a trusted clock. It may have expired."""

    v: Literal[1] = 1
    issued: FeedTime
    expires: FeedTime


def seen_feed_file(folder: Path) -> StateFile[SeenFeed]:
    """Return the file in the slots' folder."""
    return StateFile(folder / FILE_NAME, SeenFeed, shared=True)
