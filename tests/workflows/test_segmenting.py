"""The loading of cases one ahead; what is written of each is tested through `predict`."""
import threading

from synergynet_tf.workflows.segmenting import one_ahead


def test_the_next_case_is_loaded_meanwhile_and_errors_reach_their_own_case():
    loading = threading.Event()

    def load(case):
        if case == "b":
            loading.set()
        if case == "c":
            raise ValueError(case)
        return case.upper()

    got = []
    for case, loaded in one_ahead(["a", "b", "c", "d"], load):
        assert case != "a" or loading.wait(10)      # b is begun while a is in hand
        try:
            got.append(loaded())
        except ValueError as error:
            got.append(f"{case}: {error}")
    assert got == ["A", "B", "c: c", "D"]
