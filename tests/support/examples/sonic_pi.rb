# A stand-in for Sonic Pi, for the words that the example uses: loops are threads, OSC goes over real sockets, and
# samples are only named with their length.   ruby sonic_pi.rb EXAMPLE.rb DAEMON_PORT
require "socket"

$stdout.sync = true
UDP = UDPSocket.new
UDP.bind("127.0.0.1", 0)
CUES = Hash.new { |cues, name| cues[name] = Queue.new }
STATE = {}
LOOPS = []

def padded(text) = text.b + "\0" * (4 - text.bytesize % 4)

def text_of(data, at)
  last = data.index("\0", at)
  [data[at...last].force_encoding("utf-8"), at + (last - at) / 4 * 4 + 4]
end

def use_osc(host, port) = STATE[:daemon] = port == 9127 ? ARGV[1].to_i : raise("port #{port}")

def osc(address, *values)
  values.map! { |value| value == 4560 ? UDP.addr[1] : value } # Sonic Pi's own port
  tags = values.map { |value| { String => "s", Integer => "i", Float => "f" }.fetch(value.class) }.join
  bytes = values.map do |value|
    case value
    when String then padded(value)
    when Integer then [value].pack("N")
    when Float then [value].pack("g")
    end
  end
  UDP.send(padded(address) + padded("," + tags) + bytes.join, 0, "127.0.0.1", STATE.fetch(:daemon))
end

def sync(name) = CUES[name].pop
def set(name, value) = STATE[name] = value
def get = STATE
def use_real_time; end

def sample_duration(path)
  File.open(path, "rb") do |file|
    file.seek(12)
    bytes_per_second = 0
    while (name, size = file.read(8)&.unpack("a4V"))
      return size / bytes_per_second.to_f if name == "data"
      chunk = file.read(size + size % 2)
      bytes_per_second = chunk[8, 4].unpack1("V") if name == "fmt "
    end
  end
end

def sample(path) = puts("sample #{sample_duration(path).round(6)} #{path}")

def live_loop(_name, &block) = LOOPS << Thread.new { loop(&block) }.tap { |thread| thread.abort_on_exception = true }

LOOPS << Thread.new do
  loop do
    data, = UDP.recvfrom(65_536)
    address, at = text_of(data, 0)
    tags, at = text_of(data, at)
    values = tags[1..].chars.map do |tag|
      if tag == "s"
        text, at = text_of(data, at)
        next text
      end
      at += 4
      data[at - 4, 4].unpack1(tag == "f" ? "g" : "l>")
    end
    CUES["/osc*#{address}"] << values
  end
end

load ARGV[0]
LOOPS.each(&:join)
