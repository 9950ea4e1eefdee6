"""KerasHub's image backbones and classifiers, small, with random weights.

Written after the configurations in KerasHub's own documentation; KerasHub is optional.
"""

import functools

SIZE = (64, 64)
CLASSES = 5


def backbone(name, **arguments):
    import keras_hub

    shape = {"input_shape" if name == "EfficientNet" else "image_shape": (*SIZE, 3)}
    return getattr(keras_hub.models, f"{name}Backbone")(**{**shape, **arguments})


def classifier(name, head=None, **arguments):
    import keras_hub

    task = getattr(keras_hub.models, f"{name}ImageClassifier")
    return task(
        backbone=backbone(name, **arguments),
        num_classes=CLASSES,
        activation="softmax",
        **(head or {}),
    )


RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 16, 24],  # KerasHub asks for 64
    "stackwise_num_blocks": [2, 2, 2],
    "stackwise_num_strides": [1, 2, 2],
}
RESNET_VD = {**RESNET, "input_conv_filters": [8, 8, 8], "input_conv_kernel_sizes": [3, 3, 3]}
EFFICIENTNET = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5],
    "stackwise_num_repeats": [1, 2, 2, 2, 1],
    "stackwise_input_filters": [16, 8, 12, 16, 24],
    "stackwise_output_filters": [8, 12, 16, 24, 32],
    "stackwise_expansion_ratios": [1, 4, 4, 4, 4],
    "stackwise_squeeze_and_excite_ratios": [0.25] * 5,
    "stackwise_strides": [1, 2, 2, 2, 1],
    "stackwise_force_input_filters": [0] * 5,
    "stackwise_nores_option": [False] * 5,
    "stackwise_width_coefficients": [1.0] * 5,
    "stackwise_depth_coefficients": [1.0] * 5,
}
MOBILENET = {
    "stackwise_expansion": [[16, 24], [32, 40, 40], [24, 24]],
    "stackwise_num_blocks": [2, 3, 2],
    "stackwise_num_filters": [[8, 8], [12, 12, 12], [16, 16]],
    "stackwise_kernel_size": [[3, 3], [5, 5, 5], [5, 5]],
    "stackwise_num_strides": [[2, 1], [2, 1, 1], [1, 1]],
    "stackwise_se_ratio": [[None, None], [0.25] * 3, [0.3, 0.3]],
    "stackwise_activation": [["relu"] * 2, ["hard_swish"] * 3, ["hard_swish"] * 2],
    "stackwise_padding": [[1, 1], [2, 2, 2], [2, 2]],
    "output_num_filters": 32,
    "input_num_filters": 8,
    "depthwise_filters": 8,
    "depthwise_stride": 2,
    "depthwise_residual": False,
    "squeeze_and_excite": 0.5,
    "last_layer_filter": 32,
}
MOBILENET_V5 = {
    "stackwise_block_types": [["er"], ["uir", "uir"], ["uir", "mqa"]],
    "stackwise_num_blocks": [1, 2, 2],
    "stackwise_num_filters": [[8], [12, 12], [16, 16]],
    "stackwise_strides": [[2], [2, 1], [2, 1]],
    "stackwise_act_layers": [["gelu"], ["gelu", "gelu"], ["gelu", "gelu"]],
    "stackwise_exp_ratios": [[4.0], [4.0, 4.0], [4.0, 1.0]],
    "stackwise_se_ratios": [[0.0], [0.0, 0.0], [0.0, 0.0]],
    "stackwise_dw_kernel_sizes": [[0], [5, 5], [3, 3]],
    "stackwise_dw_start_kernel_sizes": [[0], [0, 3], [0, 0]],
    "stackwise_dw_end_kernel_sizes": [[0], [0, 0], [0, 0]],
    "stackwise_exp_kernel_sizes": [[3], [0, 0], [0, 0]],
    "stackwise_pw_kernel_sizes": [[1], [0, 0], [0, 0]],
    "stackwise_num_heads": [[0], [0, 0], [0, 2]],
    "stackwise_key_dims": [[0], [0, 0], [0, 8]],
    "stackwise_value_dims": [[0], [0, 0], [0, 8]],
    "stackwise_kv_strides": [[0], [0, 0], [0, 1]],
    "stackwise_use_cpe": [[False], [False, False], [False, False]],
    "use_msfa": False,
    "stem_size": 8,
}
MIT = {
    "layerwise_depths": [2, 2],
    "hidden_dims": [8, 12],
    "num_layers": 2,
    "layerwise_num_heads": [1, 2],
    "layerwise_sr_ratios": [4, 2],
    "max_drop_path_rate": 0.1,
    "layerwise_patch_sizes": [7, 3],
    "layerwise_strides": [4, 2],
}
HGNETV2 = {
    "depths": [1, 2],
    "embedding_size": 16,
    "hidden_sizes": [24, 32],
    "stem_channels": [3, 8, 16],
    "hidden_act": "relu",
    "use_learnable_affine_block": True,
    "stackwise_stage_filters": [(16, 8, 24, 1, 2, 3), (24, 12, 32, 2, 2, 5)],
    "apply_downsample": [False, True],
    "use_lightweight_conv_block": [False, True],
}
CSPNET = {
    "stem_filters": 8,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stackwise_depth": [1, 2, 2],
    "stackwise_strides": [1, 2, 2],
    "stackwise_num_filters": [8, 12, 16],
}
VIT = {
    "patch_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
}
DINO = {**VIT, "intermediate_dim": 24}


def resnet_backbone(**arguments):
    return backbone("ResNet", block_type="bottleneck_block", **{**RESNET, **arguments})


def four_stages(shape=(*SIZE, 3)):
    stages = {
        "stackwise_num_filters": [64, 16, 16, 16],
        "stackwise_num_blocks": [2, 2, 2, 2],
        "stackwise_num_strides": [1, 2, 2, 2],
    }
    options = {**RESNET, **stages, "image_shape": shape}
    return backbone("ResNet", block_type="basic_block", **options)


def dinov2(**arguments):
    return backbone("DINOV2", **{**DINO, "position_embedding_shape": SIZE, **arguments})


def depth_anything():
    import keras_hub

    return keras_hub.models.DepthAnythingBackbone(
        image_encoder=dinov2(num_layers=4, patch_size=8),
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[8, 8, 8, 8],
        fusion_hidden_dim=8,
        head_hidden_dim=8,
        head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"],
    )


def segmenter(name, **arguments):
    import keras_hub

    return getattr(keras_hub.models, f"{name}Backbone")(**arguments)


# By name, how it is built.
BACKBONES = {
    "BASNet": lambda: segmenter(
        "BASNet",
        image_encoder=four_stages((None, None, 3)),  # it sets the size itself
        num_classes=1,
        image_shape=(*SIZE, 3),
        projection_filters=64,  # of its first stage
    ),
    "DINOV2": dinov2,
    "DINOV3": lambda: backbone("DINOV3", **DINO),
    "DeepLabV3": lambda: segmenter(
        "DeepLabV3",
        image_encoder=resnet_backbone(),
        image_shape=(*SIZE, 3),
        projection_filters=8,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P4",
        upsampling_size=4,
        dilation_rates=[2, 3],
    ),
    "DepthAnything": depth_anything,
    "RetinaNet": lambda: segmenter(
        "RetinaNet",
        image_encoder=four_stages(),
        image_shape=(*SIZE, 3),
        min_level=3,
        max_level=5,
        use_p5=False,
    ),
    "SegFormer": lambda: segmenter(
        "SegFormer", image_encoder=backbone("MiT", **MIT), projection_filters=8
    ),
    "ViTDet": lambda: backbone(
        "ViTDet",
        hidden_size=8,
        num_layers=3,
        intermediate_dim=16,
        num_heads=2,
        global_attention_layer_indices=[1],
        num_output_channels=6,
        window_size=2,
    ),
}
CLASSIFIERS = {
    "CSPNet dark": functools.partial(
        classifier, "CSPNet", block_type="dark_block", stage_type="dark", **CSPNET
    ),
    "CSPNet csp": functools.partial(
        classifier,
        "CSPNet",
        block_type="bottleneck_block",
        stage_type="csp",
        bottle_ratio=[0.5],
        expand_ratio=[2.0],
        cross_linear=True,
        **CSPNET,
    ),
    "CSPNet cs3": functools.partial(
        classifier,
        "CSPNet",
        block_type="edge_block",
        stage_type="cs3",
        bottle_ratio=[1.5],
        block_ratio=[0.5],
        avg_down=True,
        **CSPNET,
    ),
    "DeiT": functools.partial(classifier, "DeiT", **DINO),
    "DenseNet": functools.partial(
        classifier, "DenseNet", stackwise_num_repeats=[2, 2, 2], growth_rate=6
    ),
    "EfficientNet v1": functools.partial(
        classifier, "EfficientNet", **EFFICIENTNET, stackwise_block_types=["v1"] * 5
    ),
    "EfficientNet v2": functools.partial(
        classifier,
        "EfficientNet",
        **EFFICIENTNET,
        stackwise_block_types=["fused", "fused", "unfused", "unfused", "unfused"],
    ),
    "HGNetV2": functools.partial(
        classifier, "HGNetV2", **HGNETV2, head={"head_filters": 16, "preprocessor": None}
    ),
    "MiT": functools.partial(classifier, "MiT", **MIT),
    "MobileNet": functools.partial(classifier, "MobileNet", **MOBILENET),
    "MobileNetV5": functools.partial(classifier, "MobileNetV5", **MOBILENET_V5),
    "ResNet v1": functools.partial(classifier, "ResNet", **RESNET, block_type="bottleneck_block"),
    "ResNet v2": functools.partial(
        classifier, "ResNet", **RESNET, block_type="basic_block", use_pre_activation=True
    ),
    "ResNet vd": functools.partial(classifier, "ResNet", **RESNET_VD, block_type="basic_block_vd"),
    "SwinTransformer": functools.partial(
        classifier,
        "SwinTransformer",
        embed_dim=8,
        depths=(2, 2),
        num_heads=(2, 2),
        window_size=4,
    ),
    "VGG": functools.partial(
        classifier,
        "VGG",
        stackwise_num_repeats=[2, 2],
        stackwise_num_filters=[8, 12],
        head={"pooling_hidden_dim": 16},
    ),
    "ViT": functools.partial(classifier, "ViT", **VIT, mlp_dim=24),
    "Xception": functools.partial(
        classifier,
        "Xception",
        stackwise_conv_filters=[[8, 12], [12, 16], [16, 16]],
        stackwise_pooling=[True, True, False],
    ),
}
