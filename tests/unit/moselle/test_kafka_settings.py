"""What the embedded Kafka is started with."""

from moselle.stack.kafka import new_cluster_id


def test_cluster_ids_are_no_options() -> None:
    """22 characters of base64 that never begin with a dash, which Kafka's tool would take for an option."""
    made = {new_cluster_id() for _ in range(1000)}
    assert {len(one) for one in made} == {22}
    assert not [one for one in made if one.startswith("-")]
