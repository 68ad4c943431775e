"""The supervised baseline."""

from pathlib import Path

from method_configs import CONFIGS

from semisweep.testing import MethodContract, tiny_network
from semisweep_methods.supervised import Supervised, SupervisedConfig

GOLDEN = Path(__file__).parent.parent / "golden"


class TestSupervised(MethodContract):
    method = Supervised
    config = CONFIGS["supervised"]
    golden = GOLDEN / "trace_supervised.json"


class TestSupervisedWithHardPixels(MethodContract):
    method = Supervised
    config = SupervisedConfig(network=tiny_network(), supervised_loss="ohem")
