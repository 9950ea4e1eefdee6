"""See what a trained Keras convnet responds to, after Zeiler & Fergus (2013).

```
 images ──► convnet with switches ──► choose activations ──► deconvnet ──► figures, gallery
   │          (record)                  (top 9, one unit)     (project)
   │
   └──► training (recipe, strategy) ── callbacks: feature evolution
   └──► occlusion: occlude, re-run, map
```

A *record* is what the forward pass leaves behind: feature maps, switches, shapes. A *projection*
passes chosen activations back to pixel space, using the record and the same weights.

| paper                        | file                                                             |
|------------------------------|------------------------------------------------------------------|
| Section 2.1, unpooling       | `layers/max_pooling_with_switches.py`, `layers/max_unpooling.py` |
| Section 2.1, filtering       | `deconvnet/filtering.py`                                         |
| Figure 1, the deconvnet      | `deconvnet/plan.py`, `deconvnet/deconv_model.py`                 |
| Figure 2, the nine strongest | `activations/`                                                   |
| Figure 2, projections        | `analyses/feature_visualization.py`, `figures/`                  |
| Figure 2, every feature map  | `reports/`                                                       |
| Figure 3, the convnet        | `convnets/zfnet.py`; compared with `convnets/alexnet.py`         |
| Figure 4, evolution          | `callbacks/`, `analyses/evolution/`                              |
| Section 3, training          | `training/recipe.py`, `training/fit.py`                          |
| Figure 5, the choice of nets | `analyses/filters/`                                              |
| Figure 6, occlusion          | `occlusion/`, `analyses/occlusion/`                              |
| One decision                 | `analyses/explanation/`                                          |
| arXiv Figure 5, invariance   | `analyses/invariance/`                                           |
| Section 4.3, correspondence  | `analyses/correspondence.py`                                     |
| Section 1.1, other methods   | `attributions/`                                                  |
| Section 5, ablation          | `analyses/ablation/`                                             |
| Section 5, other data        | `analyses/transfer/`                                             |

Importing `kerasvis` registers its layers, so that `keras.models.load_model` reads the models that
hold them; but it starts neither Keras nor TensorFlow: every name below is imported when it is first
asked for.
"""

import importlib

from kerasvis.registration import register as _register

__version__ = "0.1.0"

# public name → "module:attribute", or the module itself
_PUBLIC = {
    "DeconvModel": "kerasvis.deconvnet:DeconvModel",
    "TopActivations": "kerasvis.activations:TopActivations",
    "attribute": "kerasvis.attributions:attribute",
    "compare_methods": "kerasvis.analyses:compare_methods",
    "diagnose_filters": "kerasvis.analyses:diagnose_filters",
    "explain": "kerasvis.analyses:explain",
    "feature_extractor": "kerasvis.graph:feature_extractor",
    "fidelity_report": "kerasvis.analyses:fidelity_report",
    "find_top_activations": "kerasvis.activations:find_top_activations",
    "image_model": "kerasvis.graph:image_model",
    "maximize_activation": "kerasvis.analyses:maximize_activation",
    "occlusion_sensitivity": "kerasvis.analyses:occlusion_sensitivity",
    "receptive_field": "kerasvis.graph:receptive_field",
    "transfer_features": "kerasvis.analyses:transfer_features",
    "two_class_model": "kerasvis.graph:two_class_model",
    "visualize_features": "kerasvis.analyses:visualize_features",
    "write_gallery": "kerasvis.reports:write_gallery",
    "activations": "kerasvis.activations",
    "arguments": "kerasvis.arguments",
    "analyses": "kerasvis.analyses",
    "attributions": "kerasvis.attributions",
    "callbacks": "kerasvis.callbacks",
    "convnets": "kerasvis.convnets",
    "data": "kerasvis.data",
    "deconvnet": "kerasvis.deconvnet",
    "engines": "kerasvis.engines",
    "figures": "kerasvis.figures",
    "graph": "kerasvis.graph",
    "layers": "kerasvis.layers",
    "occlusion": "kerasvis.occlusion",
    "reports": "kerasvis.reports",
    "rules": "kerasvis.deconvnet.rules",
    "targets": "kerasvis.deconvnet.targets",
    "training": "kerasvis.training",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = importlib.import_module(module)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value  # asked for once, found directly from then on
    return value


def __dir__():
    return sorted({*globals(), *_PUBLIC})


_register()
