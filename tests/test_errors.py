"""The words of errors."""

from __future__ import annotations

from imagegen.errors import did_you_mean


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert did_you_mean("CAT", ["Cat", "dog"]) == "; did you mean 'Cat'?"
    assert did_you_mean("dgo", ["Cat", "dog"]) == "; did you mean 'dog'?"
    assert did_you_mean("cat", ["dog", "Cat-autoencoder"]) == "; did you mean 'Cat-autoencoder'?"
    assert did_you_mean("zebra", ["Cat", "dog"]) == ""
    assert did_you_mean("", ["Cat", "dog"]) == ""
