"""What a piece is, as it is heard: onsets, tempo, beats, bars, key – and beats moved by that."""
