"""From a folder of audio to examples: what the files say, segments, captions, latents."""
