"""What the setting `topic_shapes` may say."""

from collections.abc import Collection, Mapping

from services.common.errors import SettingsInvalid
from services.ingest.core.metric_shapes import METRIC_SHAPES
from services.ingest.core.shapes import SHAPES


def check_topic_shapes(
    topic_shapes: Mapping[str, str], log_topics: Collection[str], metric_topics: Collection[str]
) -> None:
    """Refuses a topic that is not read, and a shape that its kind does not have.

    Raises:
        SettingsInvalid: naming the topic, the shape and what it may be.
    """
    for topic, shape in topic_shapes.items():
        if topic in metric_topics:
            known = METRIC_SHAPES
        elif topic in log_topics:
            known = SHAPES
        else:
            read = ", ".join([*log_topics, *metric_topics])
            raise SettingsInvalid(f"MOSELLE_INGEST_TOPIC_SHAPES names {topic!r}, which is not read: name one of {read}")
        if shape not in known:
            wanted = ", ".join(sorted(known))
            raise SettingsInvalid(f"MOSELLE_INGEST_TOPIC_SHAPES pins {topic} to {shape!r}: use one of {wanted}")
