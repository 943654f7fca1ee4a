# ACE-Step in Sonic Pi: asks for a clip, then loops the newest one in tempo. Change the prompt or the tempo and press
# Run again; the loop goes on, and the new clip takes over where the loop begins. Start the daemon first: acestep serve
prompt, tempo, bars = "dusty boom bap drums", 92.5, 4

use_osc "localhost", 9127
osc "/acestep/session", "sonic pi"
osc "/acestep/subscribe", 4560 # where Sonic Pi listens
osc "/acestep/tempo", tempo
osc "/acestep/bars", bars
osc "/acestep/generate", prompt

live_loop :acestep_progress do
  use_real_time
  job, stage, fraction, left = sync "/osc*/acestep/progress"
  puts "#{stage} #{(fraction * 100).round} %"
end

live_loop :acestep_newest do
  use_real_time
  job, path, bpm, signature, key, length = sync "/osc*/acestep/clip"
  set :clip, path
end

live_loop :acestep_error do
  use_real_time
  reason, message = sync "/osc*/acestep/error"
  puts "ACE-Step: #{message}"
end

live_loop :acestep do
  clip = get[:clip]
  if clip
    sample clip
    sleep sample_duration(clip)
  else
    sleep 0.25
  end
end
