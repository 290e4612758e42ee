"""Daily models of many catchments, trained on CAMELS-US: data, models, training, scores, packages."""
