"""Camera files in and out, canonical rigs, and calibration: from a capture to a calibrated capture."""
