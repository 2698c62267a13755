/// The style of report pages. Colours are those of Okabe and Ito, which people with every common colour vision can tell apart; dashes,
/// markers and hatching say the same once more. The dark set has the light members of the same palette.
enum Stylesheet {
    static let text = """
        :root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--grid:#e4e8ec;
        --c0:#0072b2;--c1:#d55e00;--c2:#007a5a;--c3:#a64d85;--band:#e69f0038;--fault:#e69f00;--up:#0072b2;--down:#d55e00;--bad:#b3261e;
        --good:#00664b}
        @media (prefers-color-scheme:dark){:root{--paper:#0f1318;--ink:#e6eaef;--soft:#9aa6b2;--line:#37414d;--panel:#171d24;--grid:#252d36;
        --c0:#56b4e9;--c1:#e69f00;--c2:#2fbf94;--c3:#e394c4;--band:#f0e44224;--fault:#f0e442;--up:#56b4e9;--down:#e69f00;--bad:#ff8a7a;
        --good:#4fd1a5}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:1180px;padding:24px;background:var(--paper);color:var(--ink);
        font:15px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif}
        h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:34px 0 10px}h3{font-size:16px;margin:0}
        p{margin:4px 0;color:var(--soft);max-width:75ch}code{font:13px/1.4 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
        .verdict{display:inline-block;font-weight:600;padding:2px 12px;border:2px solid;border-radius:6px}
        .judgement{white-space:nowrap;overflow-wrap:normal}.valid{color:var(--good)}.invalid{color:var(--bad)}
        #checks td{white-space:pre-line}#checks td:nth-child(2){min-width:14em}
        table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;padding:4px 12px 4px 0;vertical-align:top;
        border-bottom:1px solid var(--grid);overflow-wrap:anywhere}th{color:var(--soft);font-weight:600}
        #checks td:nth-child(2){min-width:24ch}td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
        .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,540px),1fr));gap:18px}
        figure{margin:0;padding:14px 16px 10px;border:1px solid var(--line);border-radius:8px;background:var(--panel);min-width:0}
        figure.wide{grid-column:1/-1}figure.wide>svg{max-width:960px;margin:0 auto}
        figcaption p{font-size:13px}svg{display:block;width:100%;height:auto}
        .legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0;padding:0;font-size:13px;color:var(--ink)}
        .legend li{display:flex;align-items:center;gap:6px}.legend svg{width:auto;flex:none}
        .columns{columns:2 380px;column-gap:40px}.columns table{break-inside:auto}
        .tick{font-size:11.5px;fill:var(--soft)}.strong{fill:var(--bad);font-weight:600}.axistitle{font-size:12.5px;fill:var(--ink)}
        .bandname{font-size:11px;fill:var(--soft)}.axis{stroke:var(--soft);fill:none}.grid{stroke:var(--grid);fill:none}
        .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:butt}.arrow{fill:none;stroke-width:1.3}
        .c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}
        .mark{stroke:none}.m0{fill:var(--c0)}.m1{fill:var(--c1)}.m2{fill:var(--c2)}.m3{fill:var(--c3)}
        .band{fill:var(--band)}.fault{fill:var(--fault)}.up{fill:var(--up)}
        .down{fill:url(#hatch);stroke:var(--down)}.paused{fill:url(#dots);stroke:var(--soft)}
        .lifeline{stroke:var(--line);stroke-width:1.5}.lost{stroke:var(--bad);stroke-width:1.8;fill:none}
        .violation{stroke:var(--bad);stroke-width:1.6;stroke-dasharray:5 3;fill:none}.empty{font-style:italic}
        .hidden{position:absolute;width:0;height:0}
        @media print{body{max-width:none}figure{break-inside:avoid}}
        """

    /// Patterns that all drawings of a page share.
    static let patterns = """
        <svg class="hidden" aria-hidden="true"><defs>\
        <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">\
        <path d="M0 0V6" style="stroke:var(--down);stroke-width:3"/></pattern>\
        <pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse">\
        <circle cx="2.5" cy="2.5" r="1.3" style="fill:var(--soft)"/></pattern></defs></svg>
        """
}
