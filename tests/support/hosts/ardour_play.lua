-- Loads the session in SES, rolls from the start, presses PRESS ("seconds:parameter ..."), then goes on until a file
-- STOP appears (or LIMIT seconds have passed), and saves.
local backend = AudioEngine:set_backend("None (Dummy)", "", "")
backend:set_sample_rate(48000)
backend:set_buffer_size(512)
backend:set_device_name("Silence")
local session = load_session(os.getenv("SES"), "ses")
assert(session, "no session")
local plugin = session:route_by_name("T1"):nth_plugin(0)
assert(not plugin:isnil(), "the plugin is gone")

local function sleep(seconds)
    for _ = 1, math.floor(seconds * 50) do ARDOUR.LuaAPI.usleep(20000) end
end
local function exists(path) return os.execute("test -e '" .. path .. "'") == true end

sleep(0.5)
if os.getenv("PRESS") ~= "" then
    session:goto_start(false)
    sleep(0.3)
    session:request_roll(ARDOUR.TransportRequestSource.TRS_UI)
    for at, parameter in os.getenv("PRESS"):gmatch("([%d.]+):(%d+)") do
        while session:transport_sample() < tonumber(at) * 48000 do ARDOUR.LuaAPI.usleep(20000) end
        ARDOUR.LuaAPI.set_processor_param(plugin, tonumber(parameter), 1)
        sleep(0.2)
        ARDOUR.LuaAPI.set_processor_param(plugin, tonumber(parameter), 0)
    end
end
local waited = 0
while not exists(os.getenv("STOP")) and waited < tonumber(os.getenv("LIMIT")) do
    sleep(0.2)
    waited = waited + 0.2
end
session:request_stop(false, false, ARDOUR.TransportRequestSource.TRS_UI)
sleep(0.3)
assert(session:save_state("") == 0)
print("saved")
close_session()
