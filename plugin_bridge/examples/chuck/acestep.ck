// ACE-Step in ChucK: asks for a clip and loops it; the next one takes over where the loop begins.
//   chuck acestep.ck:"dusty boom bap drums":92.5:4        prompt, tempo, bars; start the daemon first: acestep serve
"dusty boom bap drums" => string prompt;
92.5 => float tempo;
4 => float bars;
if (me.args() > 0) me.arg(0) => prompt;
if (me.args() > 1) Std.atof(me.arg(1)) => tempo;
if (me.args() > 2) Std.atof(me.arg(2)) => bars;
9127 => int daemon;
if (Std.getenv("ACESTEP_OSC_PORT") != "") Std.atoi(Std.getenv("ACESTEP_OSC_PORT")) => daemon;
9131 => int here; // answers come to this port
if (Std.getenv("ACESTEP_CHUCK_PORT") != "") Std.atoi(Std.getenv("ACESTEP_CHUCK_PORT")) => here;

SndBuf2 player => dac;
"" => string newest;

fun void listen()
{
    OscIn in;
    OscMsg message;
    here => in.port;
    in.listenAll();
    while (true)
    {
        in => now;
        while (in.recv(message))
        {
            if (message.address == "/acestep/progress")
                <<< message.getString(1), Std.ftoi(message.getFloat(2) * 100), "%" >>>;
            else if (message.address == "/acestep/clip")
                message.getString(1) => newest;
            else if (message.address == "/acestep/error")
                <<< "ACE-Step:", message.getString(1) >>>;
        }
    }
}
spork ~ listen();
100::ms => now; // until the port is open

OscOut out;
out.dest("127.0.0.1", daemon);
out.start("/acestep/session").add("chuck").send();
out.start("/acestep/subscribe").add(here).send();
out.start("/acestep/tempo").add(tempo).send();
out.start("/acestep/bars").add(bars).send();
out.start("/acestep/generate").add(prompt).send();

"" => string heard;
while (true)
{
    if (newest == "")
    {
        50::ms => now;
        continue;
    }
    if (newest != heard)
    {
        newest => heard;
        heard => player.read;
        <<< "playing", heard, player.samples(), "samples" >>>;
    }
    0 => player.pos;
    player.samples()::samp => now; // as long as its bars
}
