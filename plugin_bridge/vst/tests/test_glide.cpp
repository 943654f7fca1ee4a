#include <doctest/doctest.h>

#include "glide.hpp"

using namespace acestep;

TEST_CASE("a shown value goes towards its target without overshooting, arrives, and then rests") {
    Glide glide;
    glide.head_for(0.4);
    double before = 0.0;
    int frames = 0;
    for (; glide.moving(); ++frames) {
        glide.advance(1.0 / 60.0);
        REQUIRE(glide.value() > before);
        REQUIRE(glide.value() <= 0.4);
        before = glide.value();
        REQUIRE(frames < 120);
    }
    CHECK(glide.value() == 0.4);
    CHECK(frames > 10);
    glide.advance(1.0);
    CHECK(glide.value() == 0.4);
}

TEST_CASE("how far a shown value has come depends on the time and not on the number of frames") {
    Glide often, seldom;
    often.head_for(1.0);
    seldom.head_for(1.0);
    for (int i = 0; i < 10; ++i) often.advance(0.01);
    seldom.advance(0.1);
    CHECK(often.value() == doctest::Approx(seldom.value()));
}
