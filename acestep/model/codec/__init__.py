"""From latents to sound and back: the published autoencoder, and nano's spectra with their phases."""
