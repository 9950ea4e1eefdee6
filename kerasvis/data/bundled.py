"""The small model bundled with kerasvis, for demonstrations and examples."""

from pathlib import Path

# A ZFNet for 30 classes of Tiny ImageNet, 64×64: model.keras, classes.json, evolution/, and
# README.md, its model card.
BUNDLED_MODEL = Path(__file__).parent / "bundled_model"
