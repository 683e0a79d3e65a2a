"""What all pages of a server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.serve.clerk import Clerk
    from jobs.serve.desk import Desk
    from jobs.serve.naming import Names
    from jobs.serve.pictures import Pictures
    from jobs.serve.sound import Sounds
    from jobs.serve.work import Work
    from jobs.session.configuration import Configuration


@dataclass(frozen=True)
class Site:
    """What all pages share."""

    desk: Desk
    work: Work
    clerk: Clerk
    settings: Configuration
    sounds: Sounds
    pictures: Pictures
    names: Names
