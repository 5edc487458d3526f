"""Who mines: Moselle's miner, and Drain3 beside it. Each takes the lines in order, online, and says at the end what
template each line's group has by then."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from services.common.errors import SettingsInvalid
from services.ingest.model.miner import MINER_VERSION, Miner

#: The templates of the lines, and the CPU seconds that mining took.
Mined = tuple[list[str], float]
Mine = Callable[[Sequence[str]], Mined]

#: The masks that Drain3's users give it for OpenStack; each becomes `<*>`.
DRAIN3_MASKS = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"\b[0-9a-f]{32}\b",
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    r"\b\d+(?:\.\d+)?\b",
)


def moselle_settings() -> dict[str, Any]:
    """What decides Moselle's templates; nothing can be set."""
    return {"miner_version": MINER_VERSION}


def with_moselle(messages: Sequence[str]) -> Mined:
    """A fresh miner, as ingest uses it."""
    miner = Miner()
    mine = miner.mine
    began = time.process_time()
    ids = [mine(message, 0)[0] for message in messages]
    seconds = time.process_time() - began
    roots = {each: miner.root(each) for each in set(ids)}
    texts = {root: miner.record(root)["text"] for root in set(roots.values())}
    return [texts[roots[each]] for each in ids], seconds


def drain3_settings() -> dict[str, Any]:
    """As it comes, with the OpenStack masks."""
    config = _drain3_config()
    return {
        "version": "0.9.11", "masks": list(DRAIN3_MASKS), "sim_th": config.drain_sim_th, "depth": config.drain_depth,
        "max_children": config.drain_max_children, "max_clusters": config.drain_max_clusters,
        "parametrize_numeric_tokens": config.parametrize_numeric_tokens,
    }  # fmt: skip


def with_drain3(messages: Sequence[str]) -> Mined:
    """A fresh Drain3.

    Raises:
        SettingsInvalid: it is not installed.
    """
    config = _drain3_config()
    from drain3 import TemplateMiner

    miner = TemplateMiner(config=config)
    began = time.process_time()
    ids = [miner.add_log_message(message)["cluster_id"] for message in messages]
    seconds = time.process_time() - began
    texts = {cluster.cluster_id: cluster.get_template() for cluster in miner.drain.clusters}
    return [texts[each] for each in ids], seconds


def _drain3_config() -> Any:
    try:
        from drain3.masking import MaskingInstruction
        from drain3.template_miner_config import TemplateMinerConfig
    except ImportError:
        raise SettingsInvalid(
            "drain3 is not installed: pip install drain3==0.9.11 (the extra `check` has it)"
        ) from None
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    config.mask_prefix, config.mask_suffix = "<", ">"
    config.masking_instructions = [MaskingInstruction(pattern, "*") for pattern in DRAIN3_MASKS]
    return config
