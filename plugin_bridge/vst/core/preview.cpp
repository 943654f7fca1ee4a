#include "preview.hpp"

#include <algorithm>
#include <stdexcept>

#include "paths.hpp"

namespace acestep {
namespace {

constexpr std::size_t kPieceFrames = 96000;
constexpr std::int64_t kMaxPreviewFrames = 192000 * 600;  // ten minutes, the longest clip there is
constexpr float kFadeStep = 1.0f / 256.0f;

}  // namespace

PreviewLoader::PreviewLoader(const std::filesystem::path& path, double bars, int host_rate_hz)
    : reader_(path), resampler_(reader_.sample_rate_hz(), host_rate_hz), waveform_(kColumns) {
    frames_ = Resampler::length(reader_.frames(), reader_.sample_rate_hz(), host_rate_hz);
    if (frames_ < 1) throw std::runtime_error(text_of(path.filename()) + ": is empty");
    if (frames_ > kMaxPreviewFrames) throw std::runtime_error(text_of(path.filename()) + ": is too long to preview");
    owned_ = std::make_unique<PreviewClip>(frames_, bars);
    clip_ = owned_.get();
}

void PreviewLoader::step() {
    if (done_) return;
    const std::size_t got = reader_.read(kPieceFrames, piece_);
    for (std::size_t i = 0; i < got; ++i, ++frames_read_) {
        const auto column = static_cast<std::size_t>(frames_read_ * static_cast<std::int64_t>(kColumns) / reader_.frames());
        Column& c = waveform_[std::min(column, kColumns - 1)];
        const float mono = 0.5f * (piece_[2 * i] + piece_[2 * i + 1]);
        c.low = std::min(c.low, mono);
        c.high = std::max(c.high, mono);
        c.squares += mono * mono;
        ++c.frames;
    }
    done_ = got < kPieceFrames;
    resampled_.clear();
    resampler_.push(piece_, done_, resampled_);
    const std::int64_t filled = clip_->filled.load(std::memory_order_relaxed);
    const std::int64_t add = std::min(static_cast<std::int64_t>(resampled_.size() / 2), clip_->length - filled);
    std::copy_n(resampled_.begin(), add * 2, clip_->samples.begin() + filled * 2);
    clip_->filled.store(filled + add, std::memory_order_release);
}

void PreviewPlayer::publish(std::unique_ptr<PreviewClip> clip) {
    published_.store(clip.get(), std::memory_order_seq_cst);
    if (owner_) retired_.push_back(std::move(owner_));
    owner_ = std::move(clip);
    reclaim();
}

void PreviewPlayer::reclaim() {
    std::erase_if(retired_, [this](const auto& clip) {
        // in this order: the audio thread sets adopted_ before it clears hazard_
        return hazard_.load(std::memory_order_seq_cst) != clip.get() && adopted_.load(std::memory_order_seq_cst) != clip.get();
    });
}

PreviewClip* PreviewPlayer::protect_published() noexcept {
    PreviewClip* clip = published_.load(std::memory_order_seq_cst);
    hazard_.store(clip, std::memory_order_seq_cst);
    // replaced in between: it may already be freed, so stay with what we have until the next block
    return published_.load(std::memory_order_seq_cst) == clip ? clip : current_;
}

void PreviewPlayer::adopt(PreviewClip* clip) noexcept {
    current_ = clip;
    adopted_.store(clip, std::memory_order_seq_cst);
}

void PreviewPlayer::start(PreviewClip* clip, bool free) noexcept {
    adopt(clip);
    sounding_ = true;
    fading_ = false;
    free_ = free;
    at_ = 0;
    bars_played_ = 0.0;
    gain_ = 1.0f;
}

void PreviewPlayer::on_bar_line(PreviewClip* target, bool wanted) noexcept {
    if (!wanted) return;
    if (!sounding_ || fading_ || free_ || current_ != target) {
        start(target, false);
        return;
    }
    bars_played_ += 1.0;
    if (bars_played_ >= current_->bars - 1e-6) {
        at_ = 0;
        bars_played_ = 0.0;
    }
}

void PreviewPlayer::play(float* const* out, std::uint32_t from, std::uint32_t to, float level) noexcept {
    if (!sounding_) return;
    const std::int64_t filled = current_->filled.load(std::memory_order_acquire);
    for (std::uint32_t i = from; i < to; ++i, ++at_) {
        if (at_ < filled) {
            const auto k = static_cast<std::size_t>(at_) * 2;
            out[0][i] += current_->samples[k] * level * gain_;
            out[1][i] += current_->samples[k + 1] * level * gain_;
        }
        if (fading_) gain_ -= kFadeStep;
        if (gain_ <= 0.0f || (free_ && at_ + 1 >= current_->length)) {
            sounding_ = false;
            return;
        }
    }
}

void PreviewPlayer::render(float* const* out, std::uint32_t frames, const BarTracker::Block& block, bool on,
                           float level) noexcept {
    PreviewClip* const target = protect_published();
    const bool wanted = on && target != nullptr;
    if (!wanted || block.interrupted || free_ == block.rolling || (free_ && current_ != target)) fading_ = true;
    if (!sounding_ && current_ != target) adopt(target);
    if (!wanted) heard_free_ = 0;
    if (wanted && !block.rolling && heard_free_ != target->serial && !sounding_) start(target, true);
    // what was heard with the song does not go on by itself when the song stops
    if (wanted && (block.rolling || !sounding_ || current_ == target)) heard_free_ = target->serial;
    std::uint32_t at = 0;
    for (const std::uint32_t line : block.line_offsets()) {
        play(out, at, line, level);
        on_bar_line(target, wanted);
        at = line;
    }
    play(out, at, frames, level);
    shown_position_.store(sounding_ ? at_ : -1, std::memory_order_relaxed);
    hazard_.store(nullptr, std::memory_order_seq_cst);
}

}  // namespace acestep
