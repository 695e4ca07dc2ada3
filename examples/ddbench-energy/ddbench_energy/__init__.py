"""An energy-distance matcher and a calibration-error evaluator for ddbench."""
