#include <doctest/doctest.h>

#include <algorithm>
#include <clocale>
#include <random>

#include "launch.hpp"
#include "project.hpp"
#include "text_edit.hpp"

using namespace acestep;

TEST_CASE("a project comes back as it was saved") {
    Project project;
    project.instance = "0badcafe";
    project.prompt = "dusty \"break\"\\beat\n90s, päd ♪";
    project.adapter = "my lora";
    project.adapter_scale = 0.85;
    project.parts = "drums: dusty; bass";
    project.midi = true;
    project.reference = "/home/a b/x.wav";
    project.selected = "/music/1.wav";
    project.results = {{"j1", "/music/1.wav", "a\nb", "7/8", "F# minor", 127.37, 8, -0.0123, true, "", "", ""},
                       {"j2", "/music/2.wav", "", "4/4", "", 92.5, 0.5, 0, false, "idea-1", "bass", "/music/2.mid"}};
    CHECK(decode_project(encode_project(project)) == project);
    CHECK(decode_project("") == Project{});
    CHECK(decode_project("acestep-plugin 9\nfuture thing\nprompt hello\nresult short").prompt == "hello");
}

TEST_CASE("a song of before there were stars is read: nothing in it is starred") {
    const Project project = decode_project("acestep-plugin 1\nresult j1\t/music/1.wav\tpad\t4/4\t\t120\t4\t0.01");
    REQUIRE(project.results.size() == 1);
    CHECK(!project.results[0].starred);
}

TEST_CASE("numbers are saved the same under any locale") {
    Project project;
    project.adapter_scale = 1.5;
    const std::string text = encode_project(project);
    CHECK(text.find("adapter_scale 1.5") != std::string::npos);
}

TEST_CASE("any text can be loaded") {
    std::mt19937 random(5);
    Project project;
    project.results.resize(3);
    const std::string seed = encode_project(project) + "\nprompt x\\";
    for (int round = 0; round < 20000; ++round) {
        std::string text = seed;
        for (int i = 0; i < 5; ++i) text[random() % text.size()] = static_cast<char>(random());
        const Project read = decode_project(text);
        REQUIRE(decode_project(encode_project(read)) == read);
        REQUIRE(encode_project(read).find('\xfe') == std::string::npos);  // what DPF ends a state with
    }
}

TEST_CASE("keys are numbered C major to B minor, 0 is none") {
    CHECK(std::string(key_name(0)).empty());
    CHECK(std::string(key_name(1)) == "C major");
    CHECK(std::string(key_name(20)) == "A minor");
    CHECK(std::string(key_name(24)) == "B minor");
    CHECK(std::string(key_name(25)).empty());
}

TEST_CASE("numbers that no clip can have are brought to where one can draw them") {
    const Project project = decode_project(
        "acestep-plugin 1\nadapter_scale 1e9\nresult j\t/a.wav\tp\t4/4\t\t1e300\t-5\t0.1\nresult "
        "j\t/b.wav\tp\t4/4\t\tnan\t1e12\t0.1");
    CHECK(project.adapter_scale == kMaxAdapterScale);
    REQUIRE(project.results.size() == 2);
    CHECK(project.results[0].bpm == kMaxClipBpm);
    CHECK(project.results[0].bars == 0.0);
    CHECK(project.results[1].bpm == 0.0);
    CHECK(project.results[1].bars == kMaxClipBars);
}

TEST_CASE("text: broken UTF-8 and control characters are dropped, the limit cuts between characters") {
    CHECK(clean_text("a\x01\xff\xc3z\tb", 100) == "azb");
    CHECK(clean_text("ää", 3) == "ä");
}

TEST_CASE("editing text") {
    TextEdit edit(100);
    edit.insert("warm pad");
    edit.move_left(true, false);
    edit.insert("päd\nbig ");
    CHECK(edit.text() == "warm päd big pad");
    edit.move_left(true, true);
    CHECK(edit.selection() == "big ");
    edit.insert("x");
    CHECK(edit.text() == "warm päd xpad");
    edit.undo();
    CHECK(edit.text() == "warm päd big pad");
    edit.move_to(7, false);  // in the middle of ä: before it
    CHECK(edit.cursor() == 6);
    edit.del(false);
    CHECK(edit.text() == "warm pd big pad");
    edit.backspace(false);
    CHECK(edit.text() == "warm d big pad");
    edit.select_all();
    CHECK(edit.cut() == "warm d big pad");
    CHECK(edit.text().empty());
    edit.backspace(true);
    edit.del(true);
    edit.move_left(false, true);
    edit.undo();
    edit.select_word(7);
    CHECK(edit.selection() == "big");
}

TEST_CASE("a text field never exceeds its limit, even when the selection is replaced") {
    TextEdit edit(10);
    edit.insert("0123456789abc");
    CHECK(edit.text() == "0123456789");
    edit.move_to(4, false);
    edit.move_to(8, true);
    edit.insert("ABCDEFGH");
    CHECK(edit.text() == "0123ABCD89");
}

TEST_CASE("a command line is split into words") {
    CHECK(split_command("acestep serve") == std::vector<std::string>{"acestep", "serve"});
    CHECK(split_command("  \"/a b/python\"  -m server.cli \"\" ") ==
          std::vector<std::string>{"/a b/python", "-m", "server.cli", ""});
    CHECK(split_command("").empty());
}
