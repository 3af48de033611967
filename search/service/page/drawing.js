/** Plotly, and an element that it draws into. */

// A list of its own, because Plotly's default includes a button that sends the picture to another company.
const BUTTONS = [["zoom2d", "pan2d", "resetScale2d"]];
const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: BUTTONS };

export const DARK = matchMedia("(prefers-color-scheme: dark)");

let plotly;

/** Load Plotly when the first picture is drawn, because the script is large. */
function library() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "assets/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = undefined;
      reject(new Error("the script of the pictures could not be read"));
    };
    document.head.append(script);
  });
  return plotly;
}

/** Draw `figure()` into an element, again when dark and light change; `pressed` is called with a clicked dot. */
export class Drawing {
  #figure = null;
  #drawn = "";

  constructor(element, signal, pressed) {
    this.element = element;
    DARK.addEventListener("change", () => this.#figure && this.draw(this.#figure), { signal });
    signal.addEventListener("abort", () => window.Plotly?.purge(element));
    this.pressed = pressed;
  }

  async draw(figure) {
    this.#figure = figure;
    const { data, layout } = figure();
    const drawn = JSON.stringify([data, layout]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const Plotly = await library().catch((problem) => {
      this.#drawn = "";
      throw problem;
    });
    // While the script was loading, another figure may have come, or the page may be gone.
    if (drawn !== this.#drawn || !this.element.isConnected) return;
    const first = !this.element.classList.contains("js-plotly-plot");
    await Plotly.react(this.element, data, layout, CONFIG);
    if (first && this.pressed) this.element.on("plotly_click", (event) => this.pressed(event.points[0].customdata));
  }
}
