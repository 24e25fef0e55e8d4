// Package timeline says in words what happened, in the languages of those who read it. A text is a whole sentence of its
// event type, and holds nothing of the event: what is personal in one is not told twice. Two words: a text is what an event
// is called; a language is that of the reader, and not of the customer.
package timeline

import (
	"strconv"
	"strings"
)

// Languages that there are texts in, by their names in Accept-Language.
const (
	English = "en"
	Turkish = "tr"
)

const maxAccept = 500 // bytes that are looked at of an Accept-Language

// text is what an event is called, in each language.
type text struct{ english, turkish string }

// texts are those of every event type there is; a test fails for one that is missing.
var texts = map[string]text{
	// customer
	"CustomerCreated":               {"Customer registered", "Müşteri kaydedildi"},
	"EmailVerificationRequested":    {"Email address to be verified", "E-posta adresinin doğrulanması istendi"},
	"EmailVerified":                 {"Email address verified", "E-posta adresi doğrulandı"},
	"CustomerEmailUpdated":          {"Email address changed", "E-posta adresi değişti"},
	"CustomerEmailInvalidated":      {"Email address found undeliverable", "E-posta adresine ulaşılamadığı anlaşıldı"},
	"CustomerNameUpdated":           {"Name changed", "Ad değişti"},
	"CustomerPhoneUpdated":          {"Phone number changed", "Telefon numarası değişti"},
	"CustomerAddressUpdated":        {"Postal address changed", "Posta adresi değişti"},
	"CustomerBirthDateUpdated":      {"Date of birth changed", "Doğum tarihi değişti"},
	"CustomerAttributesUpdated":     {"Attributes changed", "Özellikler değişti"},
	"CustomerDeactivated":           {"Customer deactivated", "Müşteri pasifleştirildi"},
	"CustomerReactivated":           {"Customer reactivated", "Müşteri yeniden etkinleştirildi"},
	"CustomerDataDeletionRequested": {"Erasure requested", "Verilerin silinmesi istendi"},
	"CustomerDataDeleted":           {"Data erased", "Veriler silindi"},
	"VisitorLinked":                 {"Recognised as an earlier visitor", "Önceki bir ziyaretçi olarak tanındı"},
	"CustomerAliased":               {"Another id linked", "Başka bir kimlik bağlandı"},
	"CustomerTraitsClaimed":         {"Traits claimed by a page", "Sayfanın bildirdiği özellikler"},
	"CustomerTraitsConfirmed":       {"Traits confirmed", "Özellikler teyit edildi"},
	"VisitorUnlinked":               {"Found not to be an earlier visitor", "Önceki ziyaretçi olmadığı anlaşıldı"},
	"CustomerUnaliased":             {"Another id unlinked", "Başka bir kimliğin bağı kaldırıldı"},
	"IdentityClaimed":               {"History claimed by a customer", "Geçmiş bir müşteriye ait sayıldı"},
	"IdentityReleased":              {"History released by a customer", "Geçmişin bir müşteriye ait olmadığı anlaşıldı"},
	"CustomerSegmentAdded":          {"Added to a segment", "Bir segmente eklendi"},
	"CustomerSegmentRemoved":        {"Removed from a segment", "Bir segmentten çıkarıldı"},
	"CartCreated":                   {"Cart begun", "Sepet oluşturuldu"},
	"CartAbandoned":                 {"Cart abandoned", "Sepet terk edildi"},
	"CheckoutAbandoned":             {"Checkout abandoned", "Ödeme adımı terk edildi"},
	"PaymentInitiated":              {"Payment begun", "Ödeme başlatıldı"},
	"PaymentFailed":                 {"Payment failed", "Ödeme başarısız oldu"},
	"PaymentRetryScheduled":         {"Payment to be tried again", "Ödeme yeniden denenecek"},
	"PaymentAbandoned":              {"Payment given up", "Ödeme denemelerinden vazgeçildi"},
	"OrderConfirmed":                {"Order confirmed", "Sipariş onaylandı"},
	"OrderShipped":                  {"Order shipped", "Sipariş kargoya verildi"},
	"OrderDelivered":                {"Order delivered", "Sipariş teslim edildi"},
	"RefundInitiated":               {"Refund begun", "İade başlatıldı"},
	"RefundFailed":                  {"Refund failed", "İade başarısız oldu"},
	"BehaviourSummarised":           {"Earlier activity, summed up", "Önceki etkinlikler, özetlendi"},
	"BehaviourArchived":             {"Old activity archived", "Eski etkinlikler arşivlendi"},
	"InventoryChanged":              {"Stock changed", "Stok değişti"},
	"PriceChanged":                  {"Price changed", "Fiyat değişti"},
	"ProductAffinityDetected":       {"Drawn to a category", "Bir kategoriye ilgi duyduğu anlaşıldı"},
	"ThirdPartyIntegrationSynced":   {"Another service was told", "Başka bir hizmete bildirildi"},
	"TouchpointRecorded":            {"Met the business", "Bir temas noktası kaydedildi"},
	"AttributionCalculated":         {"Order attributed", "Siparişin kaynağı hesaplandı"},
	"GroupJoined":                   {"Joined a group", "Bir gruba katıldı"},

	// consent and preferences
	"ConsentGranted":     {"Consent given", "Onay verildi"},
	"ConsentRenewed":     {"Consent renewed", "Onay yenilendi"},
	"ConsentRevoked":     {"Consent withdrawn", "Onay geri alındı"},
	"ConsentExpired":     {"Consent expired", "Onayın süresi doldu"},
	"ConsentExpiring":    {"Consent about to expire", "Onayın süresi dolmak üzere"},
	"PreferencesUpdated": {"Preferences changed", "Tercihler değişti"},

	// activity
	"PageViewed":            {"Page viewed", "Sayfa görüntülendi"},
	"ScreenViewed":          {"Screen viewed", "Ekran görüntülendi"},
	"ProductViewed":         {"Product viewed", "Ürün görüntülendi"},
	"ProductCompared":       {"Products compared", "Ürünler karşılaştırıldı"},
	"ReviewRead":            {"Review read", "Değerlendirme okundu"},
	"VideoWatched":          {"Video watched", "Video izlendi"},
	"SearchPerformed":       {"Searched", "Arama yapıldı"},
	"ItemAddedToCart":       {"Item added to cart", "Sepete ürün eklendi"},
	"ItemRemovedFromCart":   {"Item removed from cart", "Sepetten ürün çıkarıldı"},
	"CartViewed":            {"Cart viewed", "Sepet görüntülendi"},
	"CheckoutStarted":       {"Checkout started", "Ödeme adımlarına geçildi"},
	"CheckoutStepCompleted": {"Checkout step completed", "Ödeme adımı tamamlandı"},
	"CustomerSignedUp":      {"Signed up", "Üye oldu"},
	"CustomerLoggedIn":      {"Signed in", "Oturum açtı"},
	"ExperimentExposed":     {"Saw an experiment", "Bir deneye katıldı"},
	"EventTracked":          {"Event tracked", "Etkinlik kaydedildi"},
	"VisitorIdentified":     {"Visitor identified", "Ziyaretçi tanıtıldı"},

	// order
	"OrderPlaced":      {"Order placed", "Sipariş verildi"},
	"OrderCancelled":   {"Order cancelled", "Sipariş iptal edildi"},
	"PaymentSucceeded": {"Payment succeeded", "Ödeme alındı"},
	"RefundCompleted":  {"Refund completed", "Para iadesi yapıldı"},
	"RefundDelayed":    {"Refund delayed", "Para iadesi gecikti"},
	"RefundReversed":   {"Refund came back", "Para iadesi geri döndü"},

	// channel and journey
	"MessageSent":          {"Message sent", "Mesaj gönderildi"},
	"MessageSuppressed":    {"Message withheld", "Mesaj gönderilmedi"},
	"MessageFailed":        {"Message failed", "Mesaj gönderilemedi"},
	"MessageDelivered":     {"Message delivered", "Mesaj ulaştı"},
	"MessageOpened":        {"Message opened", "Mesaj açıldı"},
	"MessageClicked":       {"Link in a message followed", "Mesajdaki bağlantıya tıklandı"},
	"MessageBounced":       {"Message bounced", "Mesaj geri döndü"},
	"MessageComplained":    {"Message marked as spam", "Mesaj istenmeyen olarak bildirildi"},
	"MessageUnsubscribed":  {"Unsubscribed", "Abonelikten çıktı"},
	"JourneyEntered":       {"Journey entered", "Yolculuğa girdi"},
	"JourneyStepCompleted": {"Journey step completed", "Yolculuk adımı tamamlandı"},
	"JourneyExited":        {"Journey left", "Yolculuktan çıktı"},

	// source
	"SourceCreated":   {"Source created", "Kaynak oluşturuldu"},
	"SourceChanged":   {"Source changed", "Kaynak değişti"},
	"WriteKeyIssued":  {"Write key issued", "Yazma anahtarı verildi"},
	"WriteKeyRetired": {"Write key retired", "Yazma anahtarı kaldırıldı"},
}

// Text is what an event of a type is called in a language, in English for a language that there are no texts in. A type of
// a later release is spelled out.
func Text(eventType, language string) string {
	t, ok := texts[eventType]
	switch {
	case !ok:
		return words(eventType)
	case language == Turkish:
		return t.turkish
	}
	return t.english
}

// words spells an event type out: "ItemAddedToCart" is "Item added to cart".
func words(eventType string) string {
	var b strings.Builder
	for i, r := range eventType {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Language is the one of the texts' that a reader prefers, by the header Accept-Language (RFC 9110, 12.5.4); English where
// they ask for none, or for others.
func Language(accept string) string {
	chosen, best := English, 0.0
	for part := range strings.SplitSeq(accept[:min(len(accept), maxAccept)], ",") {
		tag, parameters, _ := strings.Cut(part, ";")
		language, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if language == "*" {
			language = English
		}
		if language != English && language != Turkish {
			continue
		}
		weight := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				continue
			}
			weight = q
		}
		if weight > best { // of two that are liked as much, the first
			chosen, best = language, weight
		}
	}
	return chosen
}
