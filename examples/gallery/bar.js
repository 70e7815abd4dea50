// A bar that moves by its own clock between two states, and never back.

/** The model has nine tenths of it, the way into Storage the rest. */
const MODEL = 90;

export class Bar {
  #element;
  #state;
  #toldAt;
  #frame;

  constructor(element) {
    this.#element = element;
    element.value = 0;
  }

  show(state) {
    this.#state = state;
    this.#toldAt = performance.now();
    cancelAnimationFrame(this.#frame);
    this.#move();
  }

  #move() {
    const { status, progress, usual_seconds } = this.#state;
    const isGuessed = status === "processing" && usual_seconds > 0;
    const since = (performance.now() - this.#toldAt) / 1_000;
    // Where the model takes longer than usual, it waits short of what the picture's arrival shows.
    const guess = isGuessed ? Math.min(progress + MODEL * since / usual_seconds, MODEL - 1) : 0;
    this.#element.value = Math.max(this.#element.value, progress, guess);
    if (isGuessed && this.#element.isConnected) {
      this.#frame = requestAnimationFrame(() => this.#move());
    }
  }
}
