"""
Use a model with several inputs or outputs
==========================================

``image_model`` holds the other inputs fixed and chooses an output.
"""

import keras

import kerasvis as kv

photograph, age = keras.Input((8, 8, 3), name="photograph"), keras.Input((1,), name="age")
x = keras.layers.Conv2D(2, 3, activation="relu", name="conv")(photograph)
x = keras.layers.Concatenate()([keras.layers.Flatten()(x), age])
model = keras.Model([photograph, age], keras.layers.Dense(2)(x))

of_one_input = kv.image_model(model, "photograph", fixed={"age": 40})
print(of_one_input.input_shape)
print(kv.DeconvModel(of_one_input, "conv").plan)
