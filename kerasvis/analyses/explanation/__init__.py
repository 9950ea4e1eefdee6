"""Why a model gives one image its class."""
