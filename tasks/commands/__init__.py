"""What commands ask of runs, corpora and models outside the stages."""
