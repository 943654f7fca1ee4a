#include <doctest/doctest.h>

#include "parts.hpp"

using namespace acestep;

namespace {

using Texts = std::vector<std::string>;

Clip clip(const std::string& path, const std::string& idea = "", const std::string& part = "") {
    Clip made;
    made.path = path;
    made.idea = idea;
    made.part = part;
    return made;
}

}  // namespace

TEST_CASE("a text that asks for parts is read as the daemon reads it") {
    CHECK(split_parts("") == Texts{});
    CHECK(split_parts(" drums,bass , ,lead") == Texts{"drums", "bass", "lead"});
    CHECK(split_parts("drums: dusty, dry; bass: warm sub, sparse") == Texts{"drums: dusty, dry", "bass: warm sub, sparse"});
    CHECK(split_parts("pad, drums: dusty, dry, bass: warm\nlead,;") == Texts{"pad", "drums: dusty, dry", "bass: warm", "lead"});
    CHECK(part_name("Backing  Vocals: soft") == "backing_vocals");
    CHECK(names_part("Drums: dusty", "drums"));
    CHECK_FALSE(names_part("drums: no bass", "bass"));
}

TEST_CASE("parts are added to a text and taken out of it, and the words of the others stay") {
    CHECK(with_part("", "drums") == "drums");
    CHECK(with_part("drums", "bass") == "drums, bass");
    CHECK(with_part("drums: dusty, dry", "bass") == "drums: dusty, dry; bass");
    CHECK(with_part("drums", "drums") == "drums");
    CHECK(without_part("drums: dusty, dry; bass", "drums") == "bass");
    CHECK(without_part("drums, bass", "lead") == "drums, bass");
    CHECK(without_part("drums", "drums").empty());
}

TEST_CASE("an idea stands with its parts where its newest clip is") {
    const std::vector<Clip> results = {clip("/d", "i", "drums"),
                                       clip("/b", "i", "bass"),
                                       clip("/m", "i", kMix),
                                       clip("/x"),
                                       clip("/b2", "i", "bass"),
                                       clip("/m2", "i", kMix),
                                       clip("/y")};
    using Kind = ResultLine::Kind;
    CHECK(result_lines(results) == std::vector<ResultLine>{{Kind::Clip, 6, false},
                                                           {Kind::Idea, 2, false},
                                                           {Kind::Part, 2, true},
                                                           {Kind::Part, 5, false},
                                                           {Kind::Part, 0, false},
                                                           {Kind::Part, 1, true},
                                                           {Kind::Part, 4, false},
                                                           {Kind::Clip, 3, false}});
    const auto parts = parts_of(results, "i");
    REQUIRE(parts.size() == 2);
    CHECK(parts[0]->path == "/d");
    CHECK(parts[1]->path == "/b2");
    CHECK(parts_of({clip("/m", "i", kMix)}, "i").size() == 1);
    CHECK(parts_of(results, "").size() == 1);  // clips of no idea have no part
}
