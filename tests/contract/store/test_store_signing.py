"""The key that records sign with: one for all who use them, and for as long as they last."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from store_examples import opened

from earwitness.store.store import Store


def test_everybody_who_opens_the_records_signs_with_the_same_key(store: Store, open_again: Callable[[], Store]) -> None:
    signed = store.signer().sign(b"what was done")
    others = open_again()
    others.signer().public.verify(b"what was done", signed)
    assert others.signer().public.text == store.signer().public.text


def test_other_records_sign_with_another_key(store: Store, tmp_path: Path) -> None:
    with closing(opened(f"sqlite:///{tmp_path / 'others.db'}")) as others:
        assert store.signer().public.text != others.signer().public.text
