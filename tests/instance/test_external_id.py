"""External ids that Flowlet makes."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from flowlet.instance.external_id import generate_external_id

NOW = 1_790_000_000_123_456


def test_an_external_id_is_a_uuid_of_version_7_with_the_time_in_milliseconds() -> None:
    made = [UUID(generate_external_id(NOW)) for _ in range(1_000)]

    assert {(one.version, one.variant, one.int >> 80) for one in made} == {(7, RFC_4122, NOW // 1_000)}
    assert len(set(made)) == 1_000


def test_external_ids_sort_by_their_time() -> None:
    made = [generate_external_id(NOW + milliseconds * 1_000) for milliseconds in range(100)]

    assert made == sorted(made)
