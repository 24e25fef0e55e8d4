package embedded

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// shop is a browser on a shop's page.
type shop struct {
	*story
	ctx  context.Context
	page string
}

// chromium finds the browser. Without one the test is skipped, unless it must be there.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("DEFTER_BROWSER") == "required" {
		t.Fatal("there is no chromium")
	}
	t.Skip("there is no chromium: the browser SDKs are not tried")
	return ""
}

// shops serves a page with an SDK, at an origin of its own, and opens it in a browser.
func (s *story) shop(t *testing.T, sdk string) *shop {
	t.Helper()
	browser := chromium(t)
	folder := t.TempDir()
	if out, err := command(t, nil, "node", "bundle.mjs", folder); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".js") {
			http.ServeFile(w, r, filepath.Join(folder, filepath.Base(r.URL.Path)))
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Shop</title><script src="/%s-browser.js"></script>`, sdk)
	}))
	t.Cleanup(pages.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.Flag("disable-background-networking", true))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(allocated)
	t.Cleanup(leave)
	b := &shop{s, ctx, pages.URL + "/"}
	b.goes(b.page) // starts the browser, which lives as long as this context
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancel)
	b.ctx = ctx
	return b
}

func (b *shop) goes(to string) {
	b.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(to)); err != nil {
		b.Fatal(err)
	}
}

// offline takes the network away from the browser, and gives it back.
func (b *shop) offline(yes bool) {
	b.Helper()
	_, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1})
		if err == nil {
			_, err = cdp.Call(ctx, t, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
				MatchedNetworkConditions: []*network.Conditions{{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}},
			})
		}
		return chromedp.Void{}, err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// runs calls a function of the page and waits for what it promises.
func (b *shop) runs(function string, arguments ...any) {
	b.Helper()
	var quoted []string
	for _, a := range arguments {
		quoted = append(quoted, fmt.Sprintf("%#v", a))
	}
	call := fmt.Sprintf("window.shop.%s(%s)", function, strings.Join(quoted, ", "))
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](call, chromedp.EvalAwaitPromise)); err != nil {
		b.Fatal(call, err)
	}
}

func (b *shop) tracked(c customer, want ...string) {
	b.Helper()
	eventually(b.TB, fmt.Sprint(want), func() bool {
		got := c.tracked()
		slices.Sort(got)
		slices.Sort(want)
		return slices.Equal(got, want)
	})
}

func TestBrowserSDKs(t *testing.T) {
	for _, sdk := range []string{"segment", "rudder"} {
		t.Run(sdk, func(t *testing.T) {
			s := begin(t)
			f := s.front()
			b := s.shop(t, sdk)
			key := s.source("browser", "allowedOrigins", []string{strings.TrimSuffix(b.page, "/")}).key
			c := s.known("browser-" + sdk)

			b.runs("load", key, f.URL, false)
			b.runs("identify", c.id)
			eventually(t, "the customer", func() bool { return c.get(c.path("/events")).status == 200 })
			b.runs("track", "Came")
			b.tracked(c, "Came")
			if n := c.happened("CustomerCreated"); n != 1 {
				t.Errorf("%d × CustomerCreated", n)
			}

			f.sent()
			f.failing(429, 500, 503)
			b.runs("track", "Tried again")
			b.tracked(c, "Came", "Tried again")
			if posts := f.sent(); len(posts) < 4 {
				t.Errorf("it did not have to try again: %v", posts)
			}

			f.failing(400)
			b.runs("track", "Malformed") // dropped by the SDK
			eventually(t, "the refused post", func() bool { return len(f.sent()) > 0 })
			b.runs("track", "After")
			b.tracked(c, "Came", "Tried again", "After")

			b.offline(true)
			b.runs("track", "Offline")
			time.Sleep(time.Second)
			if got := c.tracked(); slices.Contains(got, "Offline") {
				t.Errorf("there is no network, and it arrived: %v", got)
			}
			b.offline(false)
			b.tracked(c, "Came", "Tried again", "After", "Offline")

			// Another page, on which the SDK collects and sends when the page is left.
			b.goes(b.page)
			b.runs("load", key, f.URL, true)
			b.runs("track", "Left 1")
			b.runs("track", "Left 2")
			f.sent()
			b.goes("about:blank")
			b.tracked(c, "Came", "Tried again", "After", "Offline", "Left 1", "Left 2")
			want := map[string]string{"segment": "/v1/b 0", "rudder": "/beacon/v1/batch 0"}[sdk]
			if posts := f.sent(); !slices.Contains(posts, want) {
				t.Errorf("left with %v, want %s", posts, want)
			}
			if list := s.pages("/v1/quarantine", "messages"); len(list) > 0 {
				t.Errorf("quarantined: %v", list)
			}
		})
	}
}

// TestC2_JitsuInABrowser: the client takes a page's key, bundled from npm and as the script p.js on the API's own address.
func TestC2_JitsuInABrowser(t *testing.T) {
	for name, snippet := range map[string]bool{"npm": false, "script": true} {
		t.Run(name, func(t *testing.T) {
			s := begin(t)
			f := s.front()
			b := s.shop(t, "jitsu")
			key := s.source("browser", "allowedOrigins", []string{strings.TrimSuffix(b.page, "/")}).key
			c := s.known("jitsu-" + name)

			b.runs("load", key, f.URL, snippet)
			b.runs("track", "Came") // the visitor's, until they say who they are
			b.runs("identify", c.id)
			b.runs("track", "Known")
			b.runs("group", "acme")
			b.tracked(c, "Known")
			// The visitor's history has joined; the group is a claim, as everything that a page says of a customer.
			seen := func() map[string]int {
				count := map[string]int{}
				for _, e := range s.pages(c.path("/timeline?limit=100"), "timeline") {
					count[fmt.Sprint(e["type"])]++
				}
				return count
			}
			want := map[string]int{"PageViewed": 1, "EventTracked": 2, "CustomerCreated": 1, "VisitorLinked": 1, "CustomerTraitsClaimed": 2, "IdentityClaimed": 1}
			eventually(t, fmt.Sprint(want), func() bool { return maps.Equal(seen(), want) })
			if list := s.pages("/v1/quarantine", "messages"); len(list) > 0 {
				t.Errorf("quarantined: %v", list)
			}
			posts := f.sent()
			for _, want := range []string{"/api/s/page 0", "/api/s/identify 0", "/api/s/track 0", "/api/s/group 0"} {
				if !slices.Contains(posts, want) {
					t.Errorf("it posted %v, without %s", posts, want)
				}
			}
		})
	}
}
