"""Using a trained network: loading, predicting, exporting."""
